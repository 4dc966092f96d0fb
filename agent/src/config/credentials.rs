//! `[credentials.NAME]` as meant: a log-in, a TSIG key or a provider's token, its secret read from a file that nobody else may
//! read. No secret is ever repeated.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use consensus::model::CredentialId;
use data_encoding::BASE64;
use probe::{Login, Tls};

use super::fault::{Findings, Span, alternatives};
use super::leaf::Protection;
use super::tree::At;
use super::typed::agent::{AgentFile, CredentialTable};
use super::{Credential, Credentials};

/// No password and no key is longer.
const SECRET_LIMIT: u64 = 64 * 1024;

/// Every credential of the file, with its secrets read.
pub(super) fn credentials(
    file: &AgentFile,
    beside: &Path,
    exposed: bool,
    findings: &mut Findings<'_>,
) -> Credentials {
    let mut credentials = Credentials::new();
    for (name, table) in &file.credentials.0 {
        if exposed
            && let Some(inline) =
                table.password.as_ref().or(table.secret.as_ref()).or(table.token.as_ref())
        {
            let text = "the secret stands in a file that everybody on this computer may read: `chmod 640` it, or \
                        name a file of its own with `password_file` or `secret_file`";
            findings.error(&inline.span, text);
        }
        if let Some(credential) = credential(&name.value, table, beside, findings) {
            credentials.insert(name.value.clone(), credential);
        }
    }
    credentials
}

/// What a credential is for, told by its keys.
#[derive(Clone, Copy)]
enum Kind {
    Login,
    Key,
    Token,
}

impl Kind {
    fn named(self) -> &'static str {
        match self {
            Self::Login => "a log-in",
            Self::Key => "a TSIG key",
            Self::Token => "a provider's token",
        }
    }
}

fn credential(
    name: &CredentialId,
    table: &CredentialTable,
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Credential> {
    let span = |key: Option<&Span>| key.cloned();
    let login = [
        ("user", span(table.user.as_ref().map(|at| &at.span))),
        ("password", span(table.password.as_ref().map(|at| &at.span))),
        ("password_file", span(table.password_file.as_ref().map(|at| &at.span))),
    ];
    let login = login.into_iter().chain([
        ("tls", span(table.tls.as_ref().map(|at| &at.span))),
        ("authority_file", span(table.authority_file.as_ref().map(|at| &at.span))),
    ]);
    let login: Vec<_> = login.collect();
    let key = [
        ("name", span(table.name.as_ref().map(|at| &at.span))),
        ("algorithm", span(table.algorithm.as_ref().map(|at| &at.span))),
        ("secret", span(table.secret.as_ref().map(|at| &at.span))),
        ("secret_file", span(table.secret_file.as_ref().map(|at| &at.span))),
    ];
    let token = [
        ("access_key", span(table.access_key.as_ref().map(|at| &at.span))),
        ("token", span(table.token.as_ref().map(|at| &at.span))),
        ("token_file", span(table.token_file.as_ref().map(|at| &at.span))),
    ];
    let typed = |keys: &[(&'static str, Option<Span>)]| {
        keys.iter().find_map(|(key, span)| Some((*key, span.clone()?)))
    };
    let kinds =
        [(Kind::Login, typed(&login)), (Kind::Key, typed(&key)), (Kind::Token, typed(&token))];
    let mut given = kinds.into_iter().filter_map(|(kind, typed)| Some((kind, typed?)));
    match (given.next(), given.next()) {
        (None, _) => {
            let text = format!(
                "credential `{name}` is empty: expected `user` and {} for a database, `name`, `algorithm` and {} \
                 for TSIG, or {} for a provider",
                alternatives(["password_file", "password"]),
                alternatives(["secret_file", "secret"]),
                alternatives(["token_file", "token"]),
            );
            findings.error(&table.at, text);
            None
        }
        (Some((kind, _)), Some((other, (stray, span)))) => {
            let (kind, other) = (kind.named(), other.named());
            let text =
                format!("`{stray}` belongs to {other}, `{name}` is {kind} by its other keys");
            findings.error(&span, text);
            None
        }
        (Some((Kind::Login, _)), None) => {
            let user = table.user.as_ref().map(|user| user.value.0.clone());
            if user.is_none() {
                findings.error(&table.at, format!("credential `{name}` lacks `user`"));
            }
            let given = (&table.password, &table.password_file);
            let password = secret(("password", "password_file"), given, beside, findings)?;
            let (user, password) = (user?, password.map(|(text, _)| text));
            let tls = protection(table, beside, findings)?;
            Some(Credential::Login(Arc::new(Login { user, password, tls })))
        }
        (Some((Kind::Key, _)), None) => tsig(name, table, beside, findings),
        (Some((Kind::Token, _)), None) => {
            let given = (&table.token, &table.token_file);
            let Some((token, _)) = secret(("token", "token_file"), given, beside, findings)? else {
                let text = format!("credential `{name}` lacks `token_file` or `token`");
                findings.error(&table.at, text);
                return None;
            };
            let access_key = table.access_key.as_ref().map(|id| id.value.0.clone());
            Some(Credential::Token { access_key, token })
        }
    }
}

/// How a log-in is protected; `None` after a finding.
fn protection(table: &CredentialTable, beside: &Path, findings: &mut Findings<'_>) -> Option<Tls> {
    let authority = match &table.authority_file {
        None => None,
        Some(file) => match std::fs::read_to_string(beside.join(&file.value)) {
            Ok(pem) if pem.contains("BEGIN CERTIFICATE") => Some((pem.into(), &file.span)),
            Ok(_) => {
                findings
                    .error(&file.span, "`authority_file`: expected PEM certificates, found none");
                return None;
            }
            Err(error) => {
                findings.error(&file.span, format!("`authority_file`: cannot read it: {error}"));
                return None;
            }
        },
    };
    match (table.tls.as_ref().map(|word| word.value), authority) {
        (Some(Protection::Encrypted), Some((_, span))) => {
            let text = "an `authority_file` is checked by `tls = \"verified\"` alone";
            findings.error(span, text);
            None
        }
        (Some(Protection::Encrypted), None) => Some(Tls::Encrypted),
        (Some(Protection::Verified), authority) => {
            Some(Tls::Verified(authority.map(|(pem, _)| pem)))
        }
        (None, Some((pem, _))) => Some(Tls::Verified(Some(pem))),
        (None, None) => Some(Tls::AsOffered),
    }
}

fn tsig(
    name: &CredentialId,
    table: &CredentialTable,
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Credential> {
    let mut lacks = |key| findings.error(&table.at, format!("credential `{name}` lacks {key}"));
    if table.name.is_none() {
        lacks("`name`, the key's name as the server knows it");
    }
    if table.algorithm.is_none() {
        lacks("`algorithm`: expected `hmac-sha256`, `hmac-sha384` or `hmac-sha512`");
    }
    if table.secret.is_none() && table.secret_file.is_none() {
        lacks("its secret: expected `secret_file` or `secret`");
    }
    let given = (&table.secret, &table.secret_file);
    let (text, span) = secret(("secret", "secret_file"), given, beside, findings)??;
    let secret = match BASE64.decode(text.trim().as_bytes()) {
        Ok(secret) if !secret.is_empty() => secret,
        _ => {
            // What was found is a secret, or nearly one.
            findings.error(&span, "expected the secret in base64, as `tsig-keygen` prints it");
            return None;
        }
    };
    Some(Credential::Key {
        name: table.name.as_ref()?.value.0.clone(),
        algorithm: table.algorithm.as_ref()?.value.0.to_owned(),
        secret,
    })
}

/// What was typed for a secret, or stands in the file that was; the outer `None` after a finding.
#[allow(clippy::option_option)]
fn secret(
    (inline, filed): (&str, &str),
    given: (&Option<At<super::leaf::Secret>>, &Option<At<PathBuf>>),
    beside: &Path,
    findings: &mut Findings<'_>,
) -> Option<Option<(String, Span)>> {
    match given {
        (None, None) => Some(None),
        (Some(secret), None) => Some(Some((secret.value.0.clone(), secret.span.clone()))),
        (Some(_), Some(file)) => {
            findings
                .error(&file.span, format!("`{inline}` and `{filed}` are both given: keep one"));
            None
        }
        (None, Some(file)) => match read_secret(&beside.join(&file.value)) {
            Ok(text) => Some(Some((text, file.span.clone()))),
            Err(why) => {
                findings.error(&file.span, format!("`{filed}`: {why}"));
                None
            }
        },
    }
}

/// The first line of a file that nobody else may read.
pub(super) fn read_secret(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    let file = std::fs::metadata(path).map_err(cannot)?;
    if !file.is_file() {
        return Err(format!("expected a plain file, `{shown}` is none"));
    }
    if file.permissions().mode() & 0o007 != 0 {
        return Err(format!("everybody on this computer may read `{shown}`: `chmod 600 {shown}`"));
    }
    let mut text = String::new();
    let open = std::fs::File::open(path).map_err(cannot)?;
    open.take(SECRET_LIMIT + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > SECRET_LIMIT {
        return Err(format!("expected at most {SECRET_LIMIT} bytes in `{shown}`"));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("`{shown}` is empty")),
        secret => Ok(secret.to_owned()),
    }
}
