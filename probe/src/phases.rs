//! One look's stages → [`Phases`]: where its time went, also when it was cut short.
//!
//! A phase is written when it is left; the one a look ends in counts until that end.

use std::time::Duration;

use consensus::model::Phases;
use tokio::time::Instant;

/// What a look is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Looking the name up.
    Resolve,
    /// Connecting.
    Connect,
    /// In the TLS handshake.
    Tls,
    /// Asking, and waiting for the answer's first byte.
    Process,
    /// Reading the answer.
    Transfer,
}

/// Measures one look.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    limit: Duration,
    stage: Option<(Stage, Instant)>,
    stopped: Option<Instant>,
    phases: Phases,
    peer: String,
}

impl Stopwatch {
    /// The look begins now and may take this long.
    pub(crate) fn start(limit: Duration) -> Self {
        Self {
            began: Instant::now(),
            limit,
            stage: None,
            stopped: None,
            phases: Phases::default(),
            peer: String::new(),
        }
    }

    /// Leaves one stage for another.
    pub(crate) fn enter(&mut self, stage: Stage) {
        let now = Instant::now();
        self.leave(now);
        self.stage = Some((stage, now));
    }

    /// What was to be learnt is learnt; what follows is courtesy and not counted.
    pub(crate) fn stop(&mut self) {
        let now = Instant::now();
        self.leave(now);
        self.stopped = Some(now);
    }

    /// Names what is looked at, for people.
    pub(crate) fn set_peer(&mut self, peer: String) {
        self.peer = peer;
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// How much of the limit is left.
    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.elapsed())
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        self.stage.map(|(stage, _)| stage)
    }

    /// The current stage in words.
    pub(crate) fn doing(&self) -> String {
        let peer = &self.peer;
        match self.stage() {
            None => "starting".to_owned(),
            Some(Stage::Resolve) => format!("looking up {peer}"),
            Some(Stage::Connect) => format!("connecting to {peer}"),
            Some(Stage::Tls) => format!("in the TLS handshake with {peer}"),
            Some(Stage::Process) => format!("waiting for an answer from {peer}"),
            Some(Stage::Transfer) => format!("reading the answer of {peer}"),
        }
    }

    /// Where the time went, and how much it was.
    pub(crate) fn finish(mut self) -> (Phases, Duration) {
        let end = self.stopped.unwrap_or_else(Instant::now);
        self.leave(end);
        (self.phases, end - self.began)
    }

    fn leave(&mut self, now: Instant) {
        let Some((stage, since)) = self.stage.take() else { return };
        let phase = match stage {
            Stage::Resolve => &mut self.phases.resolve,
            Stage::Connect => &mut self.phases.connect,
            Stage::Tls => &mut self.phases.tls,
            Stage::Process => &mut self.phases.process,
            Stage::Transfer => &mut self.phases.transfer,
        };
        *phase = Some(phase.unwrap_or_default() + (now - since));
    }
}
