//! Signatures as Amazon asks for them: Signature Version 4, every header that is sent signed.

use ring::{digest, hmac};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// Who signs, and for what.
pub(super) struct Scope<'a> {
    pub(super) key: &'a str,
    pub(super) secret: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// A request as it is signed: method, path, query with its keys in order, headers in order of their names in lower case.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// A time as `x-amz-date` has it; `wall_ms` is milliseconds since 1970.
pub(super) fn stamp(wall_ms: u64) -> String {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    let seconds = i64::try_from(wall_ms / 1000).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(form).unwrap_or_default()
}

/// Such a time in seconds since 1970; `None` for what is none.
pub(super) fn seconds(stamp: &str) -> Option<i64> {
    let form = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(stamp, form).ok()?.assume_utc().unix_timestamp())
}

/// The value of the header `Authorization`.
pub(super) fn authorization(scope: &Scope<'_>, stamp: &str, request: &Signed<'_>) -> String {
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String =
        request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{names}\n{}",
        request.method,
        request.path,
        request.query,
        hex(digest::digest(&digest::SHA256, request.body).as_ref())
    );
    let day = stamp.get(..8).unwrap_or_default();
    let within = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let hashed = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{within}\n{hashed}");
    let secret = format!("AWS4{}", scope.secret);
    let key = [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(secret.into_bytes(), |key, part| mac(&key, part.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{within}, SignedHeaders={names}, Signature={}",
        scope.key,
        hex(&mac(&key, to_sign.as_bytes()))
    )
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that Amazon documents ("Create a signed AWS API request", ListUsers).
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let scope = Scope {
            key: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "iam",
        };
        let request = Signed {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("host", "iam.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
            ],
            body: b"",
        };
        assert_eq!(stamp(1_440_938_160_000), "20150830T123600Z");
        assert_eq!(seconds("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(seconds("2015-08-30T12:36:00Z"), None);
        assert_eq!(
            authorization(&scope, "20150830T123600Z", &request),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }
}
