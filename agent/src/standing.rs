//! Is a stack to act as the one that serves? For what must run once: cron jobs, mail, queues.
//!
//! `online` is a word with an end. A stack has it while the agreed state names it, nothing is being moved, and a majority of
//! voters was heard within [`HOLDS`]: an agent that is cut off takes it back by itself, whatever it knows. And a stack that has
//! just been moved to waits for [`WAITS`], by when every agent that did not learn of the move has taken the word back from the
//! one before. So two stacks are never online at once, as long as hosts' clocks run at the same rate within a hundredth.
//! Whoever reads it later than that must judge for itself: the word is told with its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use consensus::failover::plan;
use consensus::model::{AppId, AppState, StackId};
use consensus::moment::Moment;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::clock;
use crate::run::Agreed;

/// How long a majority's word holds: as a guard's lease does where no other is defined.
const HOLDS: Duration = Duration::from_secs(10);
/// A majority counts as heard for three seconds, and through another for three more; `(HOLDS + 6 s) * 1.01 / 0.99`, and what
/// it takes to be told of a move.
const WAITS: Duration = Duration::from_secs(18);
/// What an ended word is asked for again after: nothing changes by time alone then.
const IDLE: Duration = Duration::from_secs(3600);

/// Since when this agent knows, in this run, that a stack serves and is not being moved from.
pub type Since = BTreeMap<AppId, (StackId, Moment)>;

/// Whether a stack is to act as the one that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Standing {
    /// It is, until then.
    Online {
        /// For how long this word holds.
        left_ms: u64,
    },
    /// It is not, or nobody can tell.
    Offline {
        /// Why.
        why: String,
    },
}

/// The stack that may write and answers, if it is one and the same.
fn serving(state: &AppState) -> Option<&StackId> {
    plan::writer(state).filter(|stack| **stack == state.active)
}

/// Takes note of which stacks serve by now.
pub fn note(before: &Since, apps: &[Arc<AppState>], now: Moment) -> Since {
    let serves = |state: &Arc<AppState>| {
        let (app, stack) = (&state.definition.name, serving(state)?);
        let known = before.get(app).filter(|(of, _)| of == stack);
        Some((app.clone(), (stack.clone(), known.map_or(now, |(_, since)| *since))))
    };
    apps.iter().filter_map(serves).collect()
}

impl Agreed {
    /// Is this stack of an app to act as the one that serves?
    pub fn standing(&self, state: &AppState, stack: &StackId, now: Moment) -> Standing {
        let offline = |why: String| Standing::Offline { why };
        let since = self.since.get(&state.definition.name);
        match (serving(state), since) {
            (Some(serving), Some((noted, since))) if serving == stack && noted == stack => {
                let until = self.confirmed + HOLDS;
                let from = *since + WAITS;
                if now < from {
                    let left = from.since(now).as_secs() + 1;
                    return offline(format!("waits {left} s until nobody else is online"));
                }
                match until.since(now) {
                    Duration::ZERO => offline(format!(
                        "no majority of voters was heard for {} s",
                        now.since(self.confirmed).as_secs()
                    )),
                    left => Standing::Online {
                        left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                    },
                }
            }
            (Some(serving), _) => offline(format!("{serving} is the one that serves")),
            (None, _) => offline(format!("{} is being moved", state.definition.name)),
        }
    }

    /// The apps whose active stack is.
    pub fn online(&self, now: Moment) -> BTreeSet<AppId> {
        let online = self.apps.iter().filter(|state| {
            matches!(self.standing(state, &state.active, now), Standing::Online { .. })
        });
        online.map(|state| state.definition.name.clone()).collect()
    }

    /// How long until a standing changes by time alone, if nothing is learned.
    pub fn standing_changes_in(&self, now: Moment) -> Duration {
        let waits = self.since.values().map(|(_, since)| *since + WAITS);
        let ends = [self.confirmed + HOLDS];
        let next = waits.chain(ends).filter(|at| now < *at).min();
        // Beyond it by a little: at the moment itself it still holds.
        next.map_or(IDLE, |at| at.since(now) + Duration::from_millis(1))
    }
}

/// Keeps one file for each stack of each app in `folder`, `APP/STACK`, until there is nothing more to learn.
///
/// A file that says `online` says until when, by the wall clock and by the boot clock: whoever reads it later than that has
/// read that it is offline. So it needs nobody to take it back.
pub async fn tell(folder: PathBuf, mut agreed: watch::Receiver<Arc<Agreed>>) {
    let mut told: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut failed = false;
    loop {
        let latest = agreed.borrow_and_update().clone();
        let now = clock::now();
        for state in &latest.apps {
            for stack in &state.definition.stacks {
                let file = path(&folder, &state.definition.name, &stack.name);
                let standing = latest.standing(state, &stack.name, now);
                let text = text(state, &stack.name, &standing, now);
                if told.get(&file) == Some(&text) {
                    continue;
                }
                match put(&file, &text) {
                    Ok(()) => failed = false,
                    Err(error) if !failed => {
                        failed = true;
                        let file = file.display();
                        warn!("cannot write `{file}`: {error}; what it said ends by itself");
                    }
                    Err(_) => {}
                }
                told.insert(file, text);
            }
        }
        tokio::select! {
            changed = agreed.changed() => if changed.is_err() { return },
            () = sleep(latest.standing_changes_in(now)) => {}
        }
    }
}

/// Where the word on a stack is told.
pub fn path(folder: &Path, app: &AppId, stack: &StackId) -> PathBuf {
    folder.join(app.as_str()).join(stack.as_str())
}

/// For shells: `. FILE`.
fn text(state: &AppState, stack: &StackId, standing: &Standing, now: Moment) -> String {
    let (app, epoch) = (&state.definition.name, state.epoch);
    match standing {
        Standing::Online { left_ms } => {
            // Rounded down, each to what it counts in.
            let until = (clock::wall_ms() + left_ms) / 1000;
            let boot_until_ms = now.as_micros() / 1000 + left_ms;
            format!(
                "state=online\nuntil={until}\nboot_until_ms={boot_until_ms}\napp={app}\nstack={stack}\nepoch={epoch}\n"
            )
        }
        Standing::Offline { .. } => {
            format!("state=offline\napp={app}\nstack={stack}\nepoch={epoch}\n")
        }
    }
}

/// Written whole, or not at all.
fn put(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Names hold no dot, so this is no stack's.
    let half = file.with_extension("new");
    fs::write(&half, text)?;
    fs::rename(&half, file)
}

/// What a file says by now.
pub fn read(text: &str, now: Moment) -> Standing {
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    };
    let until = field("boot_until_ms").parse().ok().map(|ms: u64| ms.saturating_mul(1000));
    match (field("state"), until) {
        ("online", Some(until)) => match Moment::from_micros(until).since(now) {
            Duration::ZERO => {
                Standing::Offline { why: "its file is too old to be believed".to_owned() }
            }
            left => Standing::Online { left_ms: u64::try_from(left.as_millis()).unwrap_or(0) },
        },
        ("offline", _) => Standing::Offline { why: "its file says so".to_owned() },
        (_, _) => Standing::Offline { why: "its file is not what an agent writes".to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use consensus::model::Phase;

    use super::*;
    use crate::status::fixture;

    const START: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(START + seconds * 1_000_000)
    }

    fn agreed(phase: Phase, learned: u64, confirmed: u64) -> (Agreed, Arc<AppState>) {
        let state = Arc::new(fixture::shop_state(phase));
        let apps = vec![state.clone()];
        let since = note(&Since::new(), &apps, at(learned));
        (Agreed { apps, since, confirmed: at(confirmed), ..Agreed::default() }, state)
    }

    fn is_online(standing: &Standing) -> bool {
        matches!(standing, Standing::Online { .. })
    }

    #[test]
    fn a_stack_is_online_once_all_others_have_taken_it_back_and_as_long_as_a_majority_is_heard() {
        let west: StackId = "do-west".parse().expect("a name");
        let east: StackId = "aws-east".parse().expect("a name");
        let (agreed, state) = agreed(Phase::Idle, 0, 100);
        let early = Agreed { confirmed: at(17), ..agreed.clone() };
        assert!(!is_online(&early.standing(&state, &west, at(17))), "too early");
        assert!(is_online(&early.standing(&state, &west, at(18))));
        assert_eq!(early.standing_changes_in(at(17)), Duration::from_millis(1001));
        assert_eq!(agreed.standing(&state, &west, at(104)), Standing::Online { left_ms: 6000 });
        assert_eq!(agreed.standing_changes_in(at(104)), Duration::from_millis(6001));
        let Standing::Offline { why } = agreed.standing(&state, &west, at(110)) else {
            panic!("it is cut off")
        };
        assert_eq!(why, "no majority of voters was heard for 10 s");
        let Standing::Offline { why } = agreed.standing(&state, &east, at(104)) else {
            panic!("it does not serve")
        };
        assert_eq!(why, "do-west is the one that serves");
    }

    #[test]
    fn nothing_is_online_while_it_is_moved() {
        let east: StackId = "aws-east".parse().expect("a name");
        let west: StackId = "do-west".parse().expect("a name");
        for phase in [Phase::Fencing, Phase::Promoting] {
            let (agreed, state) = agreed(phase, 0, 100);
            assert!(!is_online(&agreed.standing(&state, &east, at(101))), "{phase:?}");
            assert!(!is_online(&agreed.standing(&state, &west, at(101))), "{phase:?}");
        }
    }

    #[test]
    fn a_file_ends_by_itself() {
        let west: StackId = "do-west".parse().expect("a name");
        let (agreed, state) = agreed(Phase::Idle, 0, 100);
        let standing = agreed.standing(&state, &west, at(104));
        let text = text(&state, &west, &standing, at(104));
        assert!(text.starts_with("state=online\nuntil="), "{text}");
        assert_eq!(read(&text, at(105)), Standing::Online { left_ms: 5000 });
        for (text, now) in [(text.as_str(), 110), ("state=online\n", 105), ("", 105), ("state", 1)]
        {
            assert!(!is_online(&read(text, at(now))), "{text} at {now}");
        }
    }
}
