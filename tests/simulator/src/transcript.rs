//! What was said in a run, as lines: time, agent, note.

use std::fmt;

use consensus::model::AgentId;
use consensus::moment::Moment;

/// One line of a run.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, in true time.
    pub at: Moment,
    /// Who; nobody for what the world and the weather do.
    pub who: Option<AgentId>,
    /// What.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.to_string();
        match &self.who {
            Some(who) => write!(f, "{at:>9} {who:<5} {}", self.text),
            None => write!(f, "{at:>9} *     {}", self.text),
        }
    }
}

/// The lines of a run, kept only if somebody will read them: formatting them would be most of a swarm's time.
#[derive(Debug, Default)]
pub struct Transcript {
    kept: bool,
    lines: Vec<Line>,
}

impl Transcript {
    /// A transcript that is kept, or not.
    pub const fn new(kept: bool) -> Self {
        Self { kept, lines: Vec::new() }
    }

    /// Writes one line, if it is kept.
    pub fn say(&mut self, at: Moment, who: Option<&AgentId>, text: impl FnOnce() -> String) {
        if self.kept {
            self.lines.push(Line { at, who: who.cloned(), text: text() });
        }
    }

    /// The lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
