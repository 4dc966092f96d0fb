//! What the operating system said → whose fault it is, typed and worded.
//!
//! The one hard case is "no route". Linux refuses `connect` at once, inside the call, if its own tables lead nowhere
//! or its own firewall forbids it; the same numbers come *later* if a router or a silent neighbour says so. So the
//! number alone does not tell, but when it came does: in the call it is ours, later it is theirs. A dead gateway of
//! our own looks like theirs; an agent in that state hears no peers either and abstains (PROTOCOL.md B.3, S1).

use std::io;

use consensus::model::{Fault, FaultKind, Outcome};
use rustix::io::Errno;

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The target, or the way to it.
    Theirs(Fault),
    /// This host: the look says nothing of the target.
    Ours(Fault),
}

impl Trouble {
    pub(crate) fn theirs(kind: FaultKind, text: impl Into<String>) -> Self {
        Self::Theirs(Fault::new(kind, text))
    }

    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self::Ours(Fault::new(FaultKind::Local, text))
    }

    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Theirs(fault) | Self::Ours(fault) => fault,
        }
    }
}

impl From<Trouble> for Outcome {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Theirs(fault) => Self::Failed(fault),
            Trouble::Ours(fault) => Self::Invalid(fault),
        }
    }
}

/// When the operating system said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Inside the call: nothing was sent yet.
    AtOnce,
    /// After something was sent.
    Later,
}

/// An error of a socket; `doing` as in "connecting to 192.0.2.1:80".
pub(crate) fn of_io(error: &io::Error, when: When, doing: &str) -> Trouble {
    let kind = kind_of_io(error, when);
    let text = format!("{}: {doing}", in_words(error));
    match kind {
        FaultKind::Local => Trouble::local(text),
        kind => Trouble::theirs(kind, text),
    }
}

fn kind_of_io(error: &io::Error, when: When) -> FaultKind {
    let Some(number) = Errno::from_io_error(error) else {
        return match error.kind() {
            io::ErrorKind::TimedOut => FaultKind::Timeout,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => FaultKind::Protocol,
            _ => FaultKind::Reset,
        };
    };
    match (number, when) {
        (Errno::CONNREFUSED, _) => FaultKind::Refused,
        (Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE, _) => FaultKind::Reset,
        (Errno::TIMEDOUT, _) => FaultKind::Timeout,
        (
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOBUFS
            | Errno::NOMEM
            | Errno::ADDRNOTAVAIL
            | Errno::ADDRINUSE
            | Errno::AFNOSUPPORT
            | Errno::NETDOWN,
            _,
        ) => FaultKind::Local,
        (_, When::AtOnce) => FaultKind::Local,
        (Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS, When::Later) => FaultKind::Refused,
        (_, When::Later) => FaultKind::Reset,
    }
}

fn in_words(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => "connection refused".to_owned(),
        Some(Errno::CONNRESET) => "connection reset".to_owned(),
        Some(Errno::NETUNREACH) => "network unreachable".to_owned(),
        Some(Errno::HOSTUNREACH) => "host unreachable".to_owned(),
        Some(Errno::MFILE) => "too many open files in this process".to_owned(),
        Some(Errno::NFILE) => "too many open files on this host".to_owned(),
        Some(Errno::ADDRNOTAVAIL) => {
            "this host has no such source address, or no free port".to_owned()
        }
        Some(Errno::PERM | Errno::ACCESS) => "not permitted, perhaps by a firewall".to_owned(),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "connection closed too early".to_owned()
        }
        // As the system says it, without its capital letter and number.
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            let mut letters = text.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_ours_at_once_and_theirs_later() {
        let cases = [
            (Errno::CONNREFUSED, When::AtOnce, FaultKind::Refused),
            (Errno::CONNREFUSED, When::Later, FaultKind::Refused),
            (Errno::CONNRESET, When::Later, FaultKind::Reset),
            (Errno::TIMEDOUT, When::Later, FaultKind::Timeout),
            (Errno::NETUNREACH, When::AtOnce, FaultKind::Local),
            (Errno::NETUNREACH, When::Later, FaultKind::Refused),
            (Errno::HOSTUNREACH, When::AtOnce, FaultKind::Local),
            (Errno::HOSTUNREACH, When::Later, FaultKind::Refused),
            (Errno::PERM, When::AtOnce, FaultKind::Local),
            (Errno::ACCESS, When::Later, FaultKind::Refused),
            (Errno::MFILE, When::AtOnce, FaultKind::Local),
            (Errno::ADDRNOTAVAIL, When::AtOnce, FaultKind::Local),
            (Errno::INVAL, When::AtOnce, FaultKind::Local),
            (Errno::INVAL, When::Later, FaultKind::Reset),
        ];
        for (number, when, expected) in cases {
            let error = io::Error::from(number);
            assert_eq!(kind_of_io(&error, when), expected, "{number:?} {when:?}");
        }
    }
}
