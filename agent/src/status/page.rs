//! Three files → one page that loads nothing, with a policy that lets nothing else in.

use std::sync::LazyLock;

use data_encoding::BASE64;
use http::HeaderValue;
use ring::digest::{SHA256, digest};

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page and the policy it is served under.
pub struct Page {
    /// The document, whole.
    pub html: String,
    /// Its `Content-Security-Policy`: this very style, this very script, and this server's API.
    pub policy: HeaderValue,
}

/// The one page.
pub static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let html = FRAME.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT);
    let hash = |text: &str| BASE64.encode(digest(&SHA256, text.as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    Page { html, policy: policy.parse().expect("a policy is plain text") }
});
