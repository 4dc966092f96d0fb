//! The play: what is done to the mesh, what is expected of it, and what it did.
//!
//! Nothing here knows more than a user could: what the agents' API says, what DNS answers, which rows a database holds,
//! and which of its own children the demo killed.

mod executor;
mod seen;
mod stack;
mod start;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::model::{Phase, Verdict};
use consensus::view::AppView;

use super::process::Trouble;
use super::report::{Report, Resolved, Times};
use super::stage::{LAST, Stage};
use super::watch::{Answer, Scene, State, Watchers, Word};
use super::world::{SHOP, World, addresses};
use crate::cli::table::span;
use seen::Watch;

/// How long processes may take to start on a machine that is busy.
const UP: Duration = Duration::from_secs(20);
/// How long it may take from there until a failover would succeed; 7.5 windows if all is quick.
const READY: Duration = Duration::from_secs(35);
/// How long a failover may take, its window and a takeover included.
const MOVE: Duration = Duration::from_secs(20);
/// Between two looks at whether everybody is alive.
const CHECK: Duration = Duration::from_millis(500);
/// Who is blinded: alone in its region.
const BLINDED: &str = "nyc-1";
/// Who is asked why nothing moves.
const ASKED: &str = "fra-1";

/// The play, while it is played.
pub struct Play<'a> {
    world: &'a mut World,
    scene: Arc<Scene>,
    stage: &'a Stage,
    watchers: Watchers,
    began: Instant,
    /// What was found out so far.
    pub report: &'a mut Report,
}

impl<'a> Play<'a> {
    /// Before the curtain.
    pub fn new(
        world: &'a mut World,
        scene: Arc<Scene>,
        stage: &'a Stage,
        report: &'a mut Report,
    ) -> Self {
        let watchers = Watchers::start(&scene, &world.agents);
        let began = stage.told().began;
        Self { world, scene, stage, watchers, began, report }
    }

    /// All four acts; what happened is in the report.
    ///
    /// # Errors
    /// If it cannot go on.
    pub async fn run(&mut self) -> Result<(), Trouble> {
        for act in 0..=LAST {
            self.stage.begin(act);
            let before = self.report.expectations.len();
            let played = match act {
                0 => self.start().await,
                1 => self.blind().await,
                2 => self.kill_stack().await,
                _ => self.kill_executor().await,
            };
            let agreed = self.report.expectations[before..].iter().all(|it| it.agreed);
            self.stage.end(act, agreed && played.is_ok());
            played?;
        }
        Ok(())
    }

    /// Waits until every agent says of these apps that a failover would succeed, and every word counts.
    async fn until_ready(&mut self, apps: &[&'static str]) -> Result<(), Trouble> {
        let ready = |state: &State| {
            let able = |app: &AppView| app.unready.is_empty() && app.phase == Phase::Idle;
            let counts = state.views.values().all(|view| view.abstention.is_none());
            let everywhere = apps.iter().all(|app| {
                state.everybodys(app).filter(|app| able(app)).count() == state.views.len()
            });
            (counts && everywhere).then_some(())
        };
        let what = "the standbys to have been up for 7.5 windows (15 s)";
        self.wait(what, READY, ready).await.map_err(|trouble| {
            let state = self.scene.state();
            let reasons: BTreeSet<_> = apps
                .iter()
                .flat_map(|app| state.everybodys(app))
                .flat_map(|app| app.unready.iter().map(|why| format!("{}: {why}", app.app)))
                .collect();
            let reasons: Vec<_> = reasons.into_iter().collect();
            Trouble(format!("{trouble}: {}", reasons.join("; ")))
        })
    }

    fn judge_dns(
        &mut self,
        act: usize,
        app: &'static str,
        (from, to): (&str, &str),
        dns: &Resolved,
        phases: &Times,
    ) {
        let list = |ips: &[std::net::Ipv4Addr]| {
            ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let after = phases.first_answer_ms.map_or("never".to_owned(), seconds);
        let all = phases.all_answers_ms.map_or("never".to_owned(), seconds);
        let happened = format!(
            "{} became {} after {after}, at all {} servers after {all}",
            list(&dns.before),
            list(&dns.after),
            dns.servers
        );
        let once = dns.changes.iter().all(|changes| *changes == 1);
        let right = dns.before == addresses(app, from) && dns.after == addresses(app, to);
        let expected = "every DNS server's answer turns over once, and is never empty";
        self.report.expect(act, expected, happened, once && right && dns.failures == 0);
    }

    /// Waits until all of these know the app to be carried out, and their DNS servers say so.
    async fn settle(
        &mut self,
        app: &'static str,
        epoch: u32,
        stack: &str,
        agents: &[&'static str],
    ) -> Result<(), Trouble> {
        let wanted = Answer::Addresses(addresses(app, stack));
        let answered =
            |state: &State| agents.iter().all(|name| state.answer(app, name) == Some(&wanted));
        self.wait(&format!("{app} to be carried out"), MOVE, |state| {
            let done = |name: &&&str| {
                state.app(name, app).is_some_and(|view| {
                    view.epoch.0 == epoch
                        && view.phase == Phase::Idle
                        && view.active.as_str() == stack
                })
            };
            (agents.iter().filter(done).count() == agents.len() && answered(state)).then_some(())
        })
        .await
    }

    fn decided(&self, app: &str, agent: &str) -> Result<AppView, Trouble> {
        let found = self.scene.state().app(agent, app).cloned();
        found.ok_or_else(|| Trouble(format!("{agent} knows nothing of {app}")))
    }

    /// When what happened since the blow.
    fn times(
        &self,
        app: &'static str,
        epoch: u32,
        blow: Instant,
        watch: &Watch,
        agents: &[&'static str],
    ) -> Times {
        let state = self.scene.state();
        let since = |at: Instant| millis(at.saturating_duration_since(blow));
        let heard = |wanted: &dyn Fn(&Word) -> bool| {
            let mut later = state.heard.iter().filter(|heard| blow <= heard.at);
            later.find(|heard| wanted(&heard.word)).map(|heard| since(heard.at))
        };
        let learnt = |phases: &[Phase]| {
            let mut learnt = state.learnt(app).filter(|(_, learnt)| learnt.epoch.0 == epoch);
            let found = learnt.find(|(_, learnt)| phases.contains(&learnt.phase));
            found.map(|(heard, _)| since(heard.at))
        };
        let turned: Vec<_> = watch.turned(&state, agents).into_iter().map(since).collect();
        let promotes = self.world.databases.is_some() && app == SHOP;
        let quorum_ms = heard(
            &|word| matches!(word, Word::Suspects { app: of, verdict: Verdict::Down, .. } if of == app),
        );
        let first_answer_ms = turned.iter().min().copied();
        let west = self.world.postgres.as_ref().map(|(_, places)| places.west);
        let mut rows = state.rows.iter().filter(|row| promotes && Some(row.server) == west);
        Times {
            suspected_ms: heard(
                &|word| matches!(word, Word::Suspects { app: of, down: 1.., .. } if of == app),
            ),
            quorum_ms,
            evidence_ms: heard(
                &|word| matches!(word, Word::Proposes { app: of, what } if of == app && what == "failover"),
            ),
            decided_ms: learnt(&[
                Phase::Fencing,
                Phase::Promoting,
                Phase::Publishing,
                Phase::Verifying,
                Phase::Idle,
            ]),
            fenced_ms: learnt(&[Phase::Promoting]),
            promoted_ms: if promotes { learnt(&[Phase::Publishing]) } else { None },
            first_answer_ms,
            all_answers_ms: turned.iter().max().copied(),
            first_row_ms: rows.next().map(|row| since(row.at)),
            finished_ms: learnt(&[Phase::Idle]),
            after_quorum_ms: first_answer_ms
                .zip(quorum_ms)
                .map(|(at, from)| at.saturating_sub(from)),
        }
    }

    /// Waits for something in the scene, and notices if an agent ends that nobody killed.
    async fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, Trouble> {
        self.stage.waiting(what);
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(found) = self.scene.until(CHECK, &mut find).await {
                self.stage.waiting("");
                return Ok(found);
            }
            if let Some(trouble) = self.world.unexpected() {
                return Err(trouble);
            }
        }
        Err(Trouble(format!("waited {} for {what}", span(millis(limit)))))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}
