//! The marker record: `_quorate.<name> TXT "v=1;app=shop;tok=65536;stack=aws-east"` (PROTOCOL.md 0.1 o).

use std::fmt;

use consensus::model::{AppId, StackId, Token};

/// What stands beside a name's records and says who wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) app: AppId,
    pub(super) token: Token,
    pub(super) stack: StackId,
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=1;app={};tok={};stack={}", self.app, self.token.0, self.stack)
    }
}

impl Marker {
    /// Reads a marker; `None` if it is none of ours, or of a version we do not know.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(';');
        let mut field = |key: &str| fields.next()?.strip_prefix(key)?.strip_prefix('=');
        match field("v")? {
            "1" => {}
            _ => return None,
        }
        Some(Self {
            app: field("app")?.parse().ok()?,
            token: Token(field("tok")?.parse().ok()?),
            stack: field("stack")?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_reads_as_it_is_written_and_nothing_else_does() {
        let marker = Marker {
            app: "shop".parse().expect("a name"),
            token: Token(7 << 16 | 4),
            stack: "do-west".parse().expect("a name"),
        };
        assert_eq!(marker.to_string(), "v=1;app=shop;tok=458756;stack=do-west");
        assert_eq!(Marker::parse(&marker.to_string()), Some(marker));
        for other in [
            "",
            "v=1",
            "v=2;app=shop;tok=1;stack=a",
            "v=1;app=shop;tok=-1;stack=a",
            "v=1;app=shop;tok=99999999999999999999;stack=a",
            "v=1;app=Shop;tok=1;stack=a",
            "v=1;tok=1;app=shop;stack=a",
            "v=spf1 include:example.com ~all",
        ] {
            assert_eq!(Marker::parse(other), None, "{other}");
        }
    }
}
