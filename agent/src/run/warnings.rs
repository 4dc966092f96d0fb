//! What is not as it should be, second by second → an event when it has lasted, and one when it is over.
//!
//! A replica that is told to follow another has no link for a second or two; nobody wants to be woken for that.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus::model::{TargetId, Warning, WarningKind};
use consensus::moment::Moment;
use consensus::outbox::Note;

/// What is wrong for so long is told, and what is well for so long is told to be over.
const LASTING: Duration = Duration::from_secs(5);

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<(TargetId, WarningKind), Seen>);

#[derive(Debug)]
struct Seen {
    first: Moment,
    last: Moment,
    told: bool,
}

impl Warnings {
    /// Takes what is wrong now, and gives what is to be told.
    pub(super) fn on_tick(&mut self, warnings: Vec<Warning>, now: Moment) -> Vec<Note> {
        let mut notes = Vec::new();
        for warning in warnings {
            let key = (warning.target.clone(), warning.kind);
            let seen = self.0.entry(key).or_insert(Seen { first: now, last: now, told: false });
            seen.last = now;
            if !seen.told && LASTING <= now.since(seen.first) {
                seen.told = true;
                notes.push(Note::Warns(warning));
            }
        }
        self.0.retain(|(target, kind), seen| {
            // What was never told has to last from the beginning.
            let over = match seen.told {
                true => LASTING <= now.since(seen.last),
                false => seen.last < now,
            };
            if over && seen.told {
                notes.push(Note::Rests { target: target.clone(), kind: *kind });
            }
            !over
        });
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag() -> Warning {
        let name = |text: &str| text.parse().expect("a name");
        let target = TargetId {
            app: name("shop"),
            stack: "b".parse().expect("a name"),
            name: "main".parse().expect("a name"),
        };
        Warning { target, kind: WarningKind::Lag, text: "lacks 7 bytes".to_owned() }
    }

    #[test]
    fn what_lasts_is_told_once_and_once_more_when_it_is_over() {
        let mut warnings = Warnings::default();
        let told: Vec<_> = (0..30)
            .filter_map(|second| {
                // A single good second in the middle is no end.
                let wrong = (2..12).contains(&second) && second != 9;
                let now = Moment::ZERO + Duration::from_secs(second);
                let notes = warnings.on_tick(if wrong { vec![lag()] } else { vec![] }, now);
                Some((second, notes.into_iter().next()?))
            })
            .collect();
        let Warning { target, kind, .. } = lag();
        assert_eq!(told, [(7, Note::Warns(lag())), (16, Note::Rests { target, kind })]);
    }

    #[test]
    fn what_passes_is_never_told() {
        let mut warnings = Warnings::default();
        for second in 0..20 {
            let wrong = second % 4 != 0;
            let now = Moment::ZERO + Duration::from_secs(second);
            assert!(warnings.on_tick(if wrong { vec![lag()] } else { vec![] }, now).is_empty());
        }
    }
}
