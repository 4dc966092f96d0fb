//! The fourth act: the agent that carries out a failover is killed in the middle of it, and another finishes.

use std::time::{Duration, Instant};

use consensus::model::Phase;

use super::seen::{Snapshot, Watch};
use super::{MOVE, Play, millis, seconds};
use crate::cli::table::{Ink, span};
use crate::demo::process::Trouble;
use crate::demo::report::{ExecutorKilled, Times};
use crate::demo::stage::{ACTS, LAST};
use crate::demo::watch::Learnt;
use crate::demo::web::Web;
use crate::demo::world::{AGENTS, BLOG};

/// How long a stopped executor is watched: had it finished, the others would know by now.
const SETTLE: Duration = Duration::from_millis(250);
/// Begun later than this, another try would not end within a minute.
const TRY_UNTIL: Duration = Duration::from_secs(33);

/// An executor that was killed.
struct Struck {
    /// When it was stopped, for good.
    at: Instant,
    /// How far the others knew it to be.
    phase: Phase,
}

impl Play<'_> {
    /// Kills the blog's active stack, and whoever carries out its failover. Such a failover is over within a few
    /// hundredths of a second: if the executor was quicker than the blow, the way back is tried once.
    pub(super) async fn kill_executor(&mut self) -> Result<(), Trouble> {
        if self.attempt("east", "west").await? || TRY_UNTIL < self.began.elapsed() {
            return Ok(());
        }
        self.stage.say(Ink::Wary, "once more, the other way");
        for web in &mut self.world.webs {
            if web.app == BLOG {
                web.start(&self.world.folder)?;
            }
        }
        self.report.expectations.retain(|it| it.act != ACTS[LAST].0);
        self.attempt("west", "east").await.map(drop)
    }

    /// One try; was the executor killed in the middle?
    async fn attempt(&mut self, from: &'static str, to: &'static str) -> Result<bool, Trouble> {
        self.until_ready(&[BLOG]).await?;
        let before = Snapshot::take(&self.scene.state());
        let watch = Watch::begin(&self.scene.state(), BLOG);
        let epoch = before.epoch(BLOG) + 1;
        let blow = self.stage.blow();
        self.world.webs_of(BLOG, from).for_each(Web::kill);
        self.stage.say(Ink::Strong, format!("kill -9: the web server of {BLOG}/{from}"));
        self.stage.waiting("an executor to be named");
        let named = self.scene.until(MOVE, |state| {
            let (heard, learnt) = state.learnt(BLOG).find(|(_, learnt)| learnt.epoch.0 == epoch)?;
            Some((heard.at, learnt.executor.as_ref()?.to_string()))
        });
        let Some((decided, executor)) = named.await else {
            return Err(Trouble(format!("nobody moves {BLOG} within {}", span(millis(MOVE)))));
        };
        let struck = self.strike(&executor, epoch).await;
        let everybody: Vec<_> = AGENTS
            .map(|(name, ..)| name)
            .into_iter()
            .filter(|name| struck.is_none() || *name != executor)
            .collect();
        self.settle(BLOG, epoch, to, &everybody).await?;
        let dns = watch.resolved(&self.scene.state(), &everybody);
        let phases = self.times(BLOG, epoch, blow, &watch, &everybody);
        let (heir, taken_over) = self.heir(epoch, &executor, struck.as_ref());
        self.judge_executor(&executor, struck.as_ref(), heir.as_deref(), &phases);
        self.judge_dns(LAST, BLOG, (from, to), &dns, &phases);
        let since = |at: Instant| millis(at.duration_since(blow));
        let death = struck.as_ref().map(|struck| since(struck.at));
        self.report.executor_killed = Some(ExecutorKilled {
            app: BLOG,
            attempts: before.epoch(BLOG),
            killed: struck.as_ref().map(|_| executor),
            phase: struck.as_ref().map(|struck| struck.phase.to_string()),
            finished_by: heir,
            killed_after_ms: struck.as_ref().map(|it| millis(it.at.duration_since(decided))),
            taken_over_ms: taken_over.zip(death).map(|(at, death)| since(at) - death),
            finished_ms: phases.finished_ms.zip(death).map(|(at, death)| at.saturating_sub(death)),
            epochs: [before.epoch(BLOG), epoch],
            phases,
            dns,
        });
        Ok(struck.is_some())
    }

    /// Stops the executor at the very moment it is named, and kills it if the others still wait for it. If it was quicker
    /// than that, it is let go: then nobody died.
    async fn strike(&mut self, name: &str, epoch: u32) -> Option<Struck> {
        let at = Instant::now();
        self.world.agent(name)?.process()?.pause();
        self.stage.say(Ink::Strong, format!("{name}, the executor, is stopped where it is"));
        self.stage.waiting("word that it had finished already");
        // What it sent before it was stopped may still be on its way.
        let finished = self.scene.until(SETTLE, |state| {
            let mut learnt = state.learnt(BLOG).filter(|(_, learnt)| learnt.epoch.0 == epoch);
            learnt.any(|(_, learnt)| learnt.phase == Phase::Idle).then_some(())
        });
        if finished.await.is_some() {
            self.world.agent(name)?.process()?.resume();
            self.stage.say(Ink::Wary, format!("{name} had finished before it could be killed"));
            return None;
        }
        let phase = {
            let state = self.scene.state();
            let mut learnt = state.learnt(BLOG).filter(|(_, learnt)| learnt.epoch.0 == epoch);
            learnt.next_back().map(|(_, learnt)| learnt.phase)?
        };
        let agent = self.world.agent(name)?;
        agent.kill();
        let agent = agent.name;
        self.scene.forget(agent);
        self.stage
            .say(Ink::Strong, format!("kill -9: {name}, while {phase} as far as the others know"));
        Some(Struck { at, phase })
    }

    /// Who finished, and when it took over.
    fn heir(
        &self,
        epoch: u32,
        executor: &str,
        struck: Option<&Struck>,
    ) -> (Option<String>, Option<Instant>) {
        let Some(struck) = struck else { return (Some(executor.to_owned()), None) };
        let state = self.scene.state();
        let other = |learnt: &Learnt| {
            let heir = learnt.executor.as_ref()?;
            (learnt.epoch.0 == epoch && heir.as_str() != executor).then(|| heir.to_string())
        };
        let mut later = state.learnt(BLOG).filter(|(heard, _)| struck.at < heard.at);
        match later.find_map(|(heard, learnt)| Some((other(learnt)?, heard.at))) {
            Some((heir, at)) => (Some(heir), Some(at)),
            None => (None, None),
        }
    }

    fn judge_executor(
        &mut self,
        executor: &str,
        struck: Option<&Struck>,
        heir: Option<&str>,
        phases: &Times,
    ) {
        let finished = phases.finished_ms.map_or("never".to_owned(), seconds);
        let (happened, agreed) = match (struck, heir) {
            (Some(struck), Some(heir)) => (
                format!(
                    "{executor} died while {}; {heir} took over, finished after {finished}",
                    struck.phase
                ),
                true,
            ),
            (Some(_), None) => (format!("{executor} died, and nobody took over"), false),
            (None, _) => {
                (format!("{executor} finished before it could be killed, after {finished}"), false)
            }
        };
        let expected = "the executor dies in the middle, and another agent finishes";
        self.report.expect(LAST, expected, happened, agreed);
    }
}
