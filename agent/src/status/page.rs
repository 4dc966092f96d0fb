//! Four files → one page that loads nothing, with a policy that lets nothing else in.

use std::sync::LazyLock;

use data_encoding::BASE64;
use http::HeaderValue;
use ring::digest::{SHA256, digest};

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(include_str!("page/words.js"), include_str!("page/page.js"));

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

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use consensus::model::Epoch;
    use tokio::process::Command;

    use crate::cli::status::sheet;
    use crate::status::fixture;
    use crate::status::tests::Agent;
    use crate::tails::{Ended, Ending};

    /// A browser starts in a second, and reads the page for three more that it does not wait for.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// What stands on the page of an agent, once its script has run in a browser, a line for each piece of text.
    async fn seen(agent: &Agent) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let mut browser = Command::new("chromium");
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]);
        browser.arg(format!("--user-data-dir={}", folder.path().display()));
        browser.args(["--dump-dom", &format!("http://{}/", agent.address())]);
        browser.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(PATIENCE, browser.output()).await.expect("it ends");
        let page = ended.expect("chromium is installed").stdout;
        let page = String::from_utf8(page).expect("text");
        let (_, drawn) = page.split_once("<main>").expect("the page's frame");
        let (drawn, _) = drawn.split_once("</main>").expect("the page's frame");
        let text = drawn.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text);
        let text = text.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n");
        text.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
    }

    /// What `quorate status` says beside its labels, but for times of day, which the page has in the browser's own.
    fn said() -> Vec<String> {
        let sheet = sheet(&fixture::view(), &fixture::beside(), "0.1.0", false);
        let mut said: Vec<String> = Vec::new();
        for line in sheet.lines() {
            let words = line.trim_start();
            match (line.len() - words.len(), words.split_once("  ")) {
                (11.., _) => {
                    let last = said.last_mut().expect("it goes on with a line");
                    *last = format!("{last} {words}");
                }
                (0..=2, Some((_, words))) => said.push(words.trim_start().to_owned()),
                _ => {}
            }
        }
        let is_said = |it: &String| {
            let of_a_stack = ["active", "standby"].iter().any(|word| it.starts_with(word));
            !of_a_stack && !it.contains(" UTC") && !it.contains("as ams-1 in eu-west sees it")
        };
        said.into_iter().filter(is_said).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn in_chromium_the_page_says_what_the_status_says() {
        let agent = Agent::start().await;
        let [ended, late] = [Ending::Followed, Ending::Late].map(fixture::ended);
        agent.history().tail(&Ended { epoch: Epoch(2), ..ended }, fixture::NIGHT);
        agent.history().tail(&late, fixture::NIGHT);
        let (seen, said) = (seen(&agent).await, said());
        for words in [
            "fra-1 promotes orders on do-west, then moves shop.example.com there",
            "192.0.2.53:53 still has 203.0.113.10 of shop.example.com for 17 s",
            "203.0.113.53:53 does not tell: shop.example.com: no answer",
        ] {
            assert!(said.iter().any(|it| it == words), "`{words}` is not among {said:#?}");
        }
        let missing: Vec<_> =
            said.iter().filter(|words| !seen.lines().any(|line| line == *words)).collect();
        assert!(missing.is_empty(), "{missing:#?} do not stand on the page:\n{seen}");
        for words in ["every resolver asked hands out the new address", "given up after 120.0 s: "]
        {
            assert!(seen.contains(words), "`{words}` is not in the page's history:\n{seen}");
        }
    }
}
