//! What PostgreSQL or the way to it said instead of an answer → a typed fault.

use std::error::Error as _;
use std::io;

use consensus::model::FaultKind;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use super::wire::Exceeded;
use crate::fault::{Trouble, When, of_io};

pub(super) fn of_postgres(error: &Error, user: &str) -> Trouble {
    if let Some(said) = error.as_db_error() {
        return of_server(said, user);
    }
    let within = error.source();
    if let Some(error) = within.and_then(|error| error.downcast_ref::<io::Error>()) {
        if error.get_ref().is_some_and(|inner| inner.is::<Exceeded>()) {
            return Trouble::theirs(FaultKind::Protocol, error.to_string());
        }
        if error.get_ref().is_none() {
            return of_io(error, When::Later, "talking to the database");
        }
    }
    if error.is_closed() {
        return Trouble::theirs(FaultKind::Reset, "the database closed the connection");
    }
    let cause = within.map_or_else(|| error.to_string(), ToString::to_string);
    // The kind is private to `tokio_postgres`; these two texts are its `authentication` and `config`.
    match error.to_string().as_str() {
        "authentication error" | "invalid configuration" => {
            Trouble::theirs(FaultKind::Credential, format!("cannot log in as `{user}`: {cause}"))
        }
        _ => Trouble::theirs(FaultKind::Protocol, format!("not a PostgreSQL answer: {cause}")),
    }
}

fn of_server(said: &DbError, user: &str) -> Trouble {
    let text = said.message();
    match kind_of(said.code()) {
        FaultKind::Credential => {
            Trouble::theirs(FaultKind::Credential, format!("refuses `{user}`: {text}"))
        }
        kind => Trouble::theirs(kind, format!("says: {text}")),
    }
}

/// By the class of the code (PostgreSQL documentation, appendix A).
fn kind_of(code: &SqlState) -> FaultKind {
    match code.code() {
        // "Invalid authorization", and a database or right that is not there.
        "3D000" | "42501" => FaultKind::Credential,
        code if code.starts_with("28") => FaultKind::Credential,
        // Insufficient resources, operator intervention, system error, internal error: it is there and cannot serve.
        code if ["53", "57", "58", "XX"].iter().any(|class| code.starts_with(class)) => {
            FaultKind::Unready
        }
        _ => FaultKind::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_refusal_or_unreadiness() {
        let cases = [
            ("28P01", FaultKind::Credential),
            ("28000", FaultKind::Credential),
            ("42501", FaultKind::Credential),
            ("3D000", FaultKind::Credential),
            ("53300", FaultKind::Unready),
            ("57P01", FaultKind::Unready),
            ("57P03", FaultKind::Unready),
            ("58030", FaultKind::Unready),
            ("XX001", FaultKind::Unready),
            ("42883", FaultKind::Protocol),
            ("", FaultKind::Protocol),
        ];
        for (code, kind) in cases {
            assert_eq!(kind_of(&SqlState::from_code(code)), kind, "{code}");
        }
    }
}
