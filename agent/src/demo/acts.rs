//! The play: what is done to the mesh, what is expected of it, and what it did.
//!
//! Nothing here knows more than a user could: what the agents' API says, what DNS answers, which rows a database holds,
//! and which of its own children the demo killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consensus::model::{Certificate, Health, Phase, Statement, Verdict};
use consensus::view::{AppView, StackView, TargetView};
use serde_json::Value;
use tokio::time::sleep;

use super::postgres::{self, Databases};
use super::process::Trouble;
use super::report::{
    Blinded, EvidenceCount, ExecutorKilled, Report, Resolved, Rows, StackKilled, Start, Times,
};
use super::stage::{LAST, Stage};
use super::watch::{Answer, Learnt, Row, Scene, State, Watchers, Word};
use super::world::{AGENTS, BLOG, SHOP, WINDOW, World, addresses, domain};
use crate::cli::table::{Ink, span};

/// How long processes may take to start on a machine that is busy.
const UP: Duration = Duration::from_secs(20);
/// How long it may take from there until a failover would succeed; 7.5 windows if all is quick.
const READY: Duration = Duration::from_secs(35);
/// How long a failover may take, its window and a takeover included.
const MOVE: Duration = Duration::from_secs(20);
/// Between two looks at whether everybody is alive.
const CHECK: Duration = Duration::from_millis(500);
/// How long a stopped executor is watched: had it finished, the others would know by now.
const SETTLE: Duration = Duration::from_millis(250);
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

    // ---- Act 1.

    async fn start(&mut self) -> Result<(), Trouble> {
        self.stage.waiting("processes to start");
        for web in &mut self.world.webs {
            web.start(&self.world.folder)?;
        }
        for agent in &mut self.world.agents {
            agent.start(&self.world.folder)?;
        }
        let webs = self.world.webs.len();
        self.stage.say(Ink::Plain, format!("5 agents and {webs} web servers are started"));
        if let Some((installed, places)) = &self.world.postgres {
            let databases = Databases::start(&self.world.folder, installed, places).await?;
            let version = &databases.version;
            self.stage.say(
                Ink::Plain,
                format!("PostgreSQL {version}: a primary in east, a synchronous standby in west"),
            );
            self.report.databases = Some(format!("postgres {version}"));
            self.world.databases = Some(databases);
        }
        let heard = |state: &State| {
            let all = state.views.values().filter(|view| view.quorum.heard == AGENTS.len());
            (all.count() == AGENTS.len()).then_some(())
        };
        self.wait("every agent to hear every other", UP, heard).await?;
        let heard_ms = millis(self.began.elapsed());
        self.stage
            .say(Ink::Plain, "every agent hears every other over QUIC, mutually authenticated");
        for app in [SHOP, BLOG] {
            self.apply(app).await?;
        }
        let applied_ms = millis(self.began.elapsed());
        if let Some((_, places)) = &self.world.postgres {
            self.watchers.write_rows(&self.scene, places);
        }
        self.until_ready(&[SHOP, BLOG]).await?;
        let ready_ms = millis(self.began.elapsed());
        self.report.start = Some(Start { heard_ms, applied_ms, ready_ms });
        let happened = format!("ready after {}", span(ready_ms));
        self.report.expect(0, "a failover of either app would succeed", happened, true);
        Ok(())
    }

    /// Puts an app file before the voters, as `quorate apply` does.
    async fn apply(&mut self, app: &'static str) -> Result<(), Trouble> {
        let client = self.world.agents[0].client();
        let text = self.world.definition(app);
        let path = "/api/v1/apply?active=east";
        let (status, answer) = client
            .post(path, "application/toml", text)
            .await
            .map_err(|error| Trouble(format!("cannot apply {app}: {error}")))?;
        match (200..300).contains(&status) {
            true => Ok(()),
            false => {
                let why = answer["error"].as_str().map_or(answer.to_string(), str::to_owned);
                Err(Trouble(format!("{app} is refused: {why}")))
            }
        }
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

    // ---- Act 2.

    async fn blind(&mut self) -> Result<(), Trouble> {
        let before = Snapshot::take(&self.scene.state());
        self.stage.blow();
        let began = Instant::now();
        self.blindfold(true)?;
        self.stage.say(Ink::Strong, format!("the web of {SHOP}/east refuses {BLINDED}"));
        let sees = |state: &State, by: &str, health| {
            let app = state.app(by, SHOP)?;
            let stack = app.stacks.iter().find(|stack| stack.stack.as_str() == "east")?;
            let mut webs = stack.targets.iter().filter(|target| !target.database);
            let belief = |target: &TargetView| {
                let (_, belief) =
                    target.beliefs.iter().find(|(agent, _)| agent.as_str() == BLINDED)?;
                Some(belief.health)
            };
            webs.all(|target| belief(target) == Some(health)).then_some(())
        };
        self.wait("the blinded agent to see it down, and say so", MOVE, |state| {
            sees(state, BLINDED, Health::Down).and(sees(state, ASKED, Health::Down))
        })
        .await?;
        let down = began.elapsed();
        // A vote against the active stack for a whole window more, if it counted for anything.
        let held = self.hold(WINDOW).await;
        let (next, rule) = self.explanation().await?;
        self.stage.say(Ink::Good, format!("nothing moves: {next}"));
        self.stage.say(Ink::Plain, format!("the rule, says {ASKED}: {rule}"));
        let after = Snapshot::take(&self.scene.state());
        self.blindfold(false)?;
        self.wait("the blinded agent to see again", MOVE, |state| {
            sees(state, BLINDED, Health::Up).and(sees(state, ASKED, Health::Up))
        })
        .await?;
        self.stage.say(Ink::Plain, format!("{BLINDED} sees again, one look is enough"));
        let moved = before != after;
        let happened = match moved {
            false => format!("nothing moved: {next}"),
            true => format!("it moved: {before:?} became {after:?}"),
        };
        let expected = "nothing moves, and it says why";
        self.report.expect(1, expected, happened, !moved && next.contains("1 of 5"));
        self.report.observer_blinded = Some(Blinded {
            agent: BLINDED.to_owned(),
            down_ms: millis(down),
            held_ms: millis(held),
            next,
            rule,
            epochs: [before.epoch(SHOP), after.epoch(SHOP)],
            moved,
        });
        Ok(())
    }

    fn blindfold(&mut self, blind: bool) -> Result<(), Trouble> {
        let ip = self.world.agent(BLINDED).expect("it is one of ours").ip;
        self.world.webs_of(SHOP, "east").try_for_each(|web| web.refuse(ip.into(), blind))
    }

    async fn hold(&self, span: Duration) -> Duration {
        let began = Instant::now();
        self.stage.waiting("something to move, which it should not");
        sleep(span).await;
        began.elapsed()
    }

    /// Why nothing happens, as an agent explains it: in its words, and by the rule's sum.
    async fn explanation(&mut self) -> Result<(String, String), Trouble> {
        let client = self.world.agent(ASKED).expect("it is one of ours").client();
        let found: Value = client
            .get(&format!("/api/v1/explain/{SHOP}"))
            .await
            .map_err(|error| Trouble(format!("{ASKED} does not explain: {error}")))?;
        let stacks = found["sights"][0]["stacks"].as_array();
        let east = stacks.into_iter().flatten().find(|stack| stack["stack"] == "east");
        let sums = east.and_then(|east| east["sums"].as_array());
        let web = sums.into_iter().flatten().find(|sum| sum["part"] == "web");
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("?").to_owned();
        Ok((text(found.get("next")), text(web.and_then(|sum| sum.get("text")))))
    }

    // ---- Act 3.

    async fn kill_stack(&mut self) -> Result<(), Trouble> {
        self.until_ready(&[SHOP]).await?;
        let before = Snapshot::take(&self.scene.state());
        let watch = Watch::begin(&self.scene.state(), SHOP);
        let blow = self.stage.blow();
        self.world.webs_of(SHOP, "east").for_each(super::web::Web::kill);
        if let Some(databases) = &mut self.world.databases {
            databases.kill_primary();
        }
        let what =
            if self.world.databases.is_some() { "web servers and database" } else { "web servers" };
        self.stage.say(Ink::Strong, format!("kill -9: the {what} of {SHOP}/east"));
        let epoch = before.epoch(SHOP) + 1;
        let everybody = AGENTS.map(|(name, ..)| name);
        self.settle(SHOP, epoch, "west", &everybody).await?;
        let view = self.decided(SHOP, everybody[0])?;
        let dns = watch.resolved(&self.scene.state(), &everybody);
        let phases = self.times(SHOP, epoch, blow, &watch, &everybody);
        self.tell_evidence(&view);
        let rows = self.count_rows(blow).await?;
        self.judge_stack(&view, epoch, &phases, &dns, rows.as_ref());
        let fence = view.decision.fence.values().next();
        let old = old_stack(&view)?;
        self.report.stack_killed = Some(StackKilled {
            app: SHOP,
            from: view.decision.from.to_string(),
            to: view.decision.to.to_string(),
            reason: view.decision.reason.clone(),
            epochs: [before.epoch(SHOP), view.epoch.0],
            phases,
            first_evidence: view.decision.first.as_ref().map(|it| evidence(it, old)),
            second_evidence: view.decision.second.as_ref().map(|it| evidence(it, old)),
            fence: fence.map(|fence| fence.text.clone()),
            loss_bytes: view.decision.loss_bytes,
            dns,
            rows,
        });
        Ok(())
    }

    fn tell_evidence(&self, view: &AppView) {
        let count = |certificate: &Option<Certificate>| {
            let found = evidence(certificate.as_ref()?, old_stack(view).ok()?);
            let EvidenceCount { signed, down, regions, ballot } = found;
            Some(format!(
                "{signed} voters signed for ballot {ballot}, {down} down in {regions} regions"
            ))
        };
        let [first, second] = [&view.decision.first, &view.decision.second].map(count);
        if let Some(first) = first {
            self.stage.say(Ink::Plain, format!("evidence for the decision: {first}"));
        }
        if let Some(second) = second {
            self.stage.say(Ink::Plain, format!("and before promoting: {second}"));
        }
    }

    fn judge_stack(
        &mut self,
        view: &AppView,
        epoch: u32,
        phases: &Times,
        dns: &Resolved,
        rows: Option<&Rows>,
    ) {
        let seen = view.decision.first.as_ref().zip(old_stack(view).ok());
        let seen = seen.map(|(it, old)| evidence(it, old));
        let after = |ms: Option<u64>| ms.map_or("never".to_owned(), seconds);
        let happened = match &seen {
            Some(seen) => format!(
                "{} of 5 signed, {} of them saw it down, in {} regions; epoch {} after {}",
                seen.signed,
                seen.down,
                seen.regions,
                view.epoch,
                after(phases.decided_ms)
            ),
            None => "there is no evidence".to_owned(),
        };
        let quorum = seen.is_some_and(|seen| 3 <= seen.down && 2 <= seen.regions);
        let expected = "one decision, on a quorum's signed evidence from two regions or more";
        self.report.expect(2, expected, happened, quorum && view.epoch.0 == epoch);
        if self.world.databases.is_some() {
            let fence = view.decision.fence.values().next().map_or("?", |fence| &fence.text);
            let happened =
                format!("fence unproven ({fence}); promoted after {}", after(phases.promoted_ms));
            let promoted = view.decision.second.is_some() && phases.promoted_ms.is_some();
            let expected =
                "the fence is tried first, evidence seen again, then the standby promoted";
            self.report.expect(2, expected, happened, promoted);
        }
        self.judge_dns(2, SHOP, dns, phases);
        if let Some(rows) = rows {
            let happened = format!(
                "{} of {} found in west; {} more since",
                rows.found_after, rows.written_before, rows.written_after
            );
            let kept = rows.written_before == rows.found_after && rows.written_before > 0;
            self.report.expect(2, "every acknowledged row is still there", happened, kept);
        }
    }

    fn judge_dns(&mut self, act: usize, app: &'static str, dns: &Resolved, phases: &Times) {
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
        let right = dns.before == addresses(app, "east") && dns.after == addresses(app, "west");
        let expected = "every DNS server's answer turns over once, and is never empty";
        self.report.expect(act, expected, happened, once && right && dns.failures == 0);
    }

    /// Which acknowledged rows the new primary holds.
    async fn count_rows(&mut self, blow: Instant) -> Result<Option<Rows>, Trouble> {
        let Some((_, places)) = &self.world.postgres else { return Ok(None) };
        let west = places.west;
        self.wait("the new database to acknowledge a row", MOVE, |state| {
            state.rows.iter().any(|row| row.server == west).then_some(())
        })
        .await?;
        let Some((_, places)) = &self.world.postgres else { return Ok(None) };
        let found = postgres::rows(&places.shop(west), "select row from ledger").await?;
        let found: BTreeSet<i64> = found.iter().filter_map(|row| row.parse().ok()).collect();
        let state = self.scene.state();
        let old = |row: &&Row| row.server != west || row.at < blow;
        let before: Vec<_> = state.rows.iter().filter(old).collect();
        let rows = Rows {
            written_before: before.len(),
            found_after: before.iter().filter(|row| found.contains(&row.row)).count(),
            written_after: state.rows.len() - before.len(),
        };
        drop(state);
        let (kept, all) = (rows.found_after, rows.written_before);
        self.stage.say(Ink::Good, format!("{kept} of {all} acknowledged rows are found in west"));
        Ok(Some(rows))
    }

    // ---- Act 4.

    async fn kill_executor(&mut self) -> Result<(), Trouble> {
        self.until_ready(&[BLOG]).await?;
        let before = Snapshot::take(&self.scene.state());
        let watch = Watch::begin(&self.scene.state(), BLOG);
        let epoch = before.epoch(BLOG) + 1;
        let blow = self.stage.blow();
        self.world.webs_of(BLOG, "east").for_each(super::web::Web::kill);
        self.stage.say(Ink::Strong, format!("kill -9: the web server of {BLOG}/east"));
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
        self.settle(BLOG, epoch, "west", &everybody).await?;
        let dns = watch.resolved(&self.scene.state(), &everybody);
        let phases = self.times(BLOG, epoch, blow, &watch, &everybody);
        let (heir, taken_over) = self.heir(epoch, &executor, struck.as_ref());
        self.judge_executor(&executor, struck.as_ref(), heir.as_deref(), &phases);
        self.judge_dns(LAST, BLOG, &dns, &phases);
        let since = |at: Instant| millis(at.duration_since(blow));
        let death = struck.as_ref().map(|struck| since(struck.at));
        self.report.executor_killed = Some(ExecutorKilled {
            app: BLOG,
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
        Ok(())
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

    // ---- Common to the acts.

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

/// An executor that was killed.
struct Struck {
    /// When it was stopped, for good.
    at: Instant,
    /// How far the others knew it to be.
    phase: Phase,
}

/// What must not change while nothing moves.
#[derive(Debug, PartialEq)]
struct Snapshot {
    /// App, epoch and active stack as every agent knows them.
    apps: BTreeSet<(String, u32, String)>,
    /// What DNS answers.
    answers: usize,
}

impl Snapshot {
    fn take(state: &State) -> Self {
        let views = [SHOP, BLOG].into_iter().flat_map(|app| state.everybodys(app));
        Self {
            apps: views
                .map(|app| (app.app.to_string(), app.epoch.0, app.active.to_string()))
                .collect(),
            answers: state.answers.keys().map(|(app, agent)| state.turns(app, agent).len()).sum(),
        }
    }

    fn epoch(&self, app: &str) -> u32 {
        let epochs = self.apps.iter().filter(|(name, ..)| name == app);
        epochs.map(|(_, epoch, _)| *epoch).max().unwrap_or_default()
    }
}

/// What one app's DNS answers were when it began.
struct Watch {
    app: &'static str,
    began: Instant,
    before: Vec<std::net::Ipv4Addr>,
}

impl Watch {
    fn begin(state: &State, app: &'static str) -> Self {
        let before = state.turns(app, ASKED).pop();
        let before = before.map(|(_, addresses)| addresses.to_vec()).unwrap_or_default();
        Self { app, began: Instant::now(), before }
    }

    /// When each server first gave another answer.
    fn turned(&self, state: &State, agents: &[&'static str]) -> Vec<Instant> {
        let first = |agent: &&'static str| {
            let mut turns = state.turns(self.app, agent).into_iter();
            turns.find(|(at, _)| self.began < *at).map(|(at, _)| at)
        };
        agents.iter().filter_map(first).collect()
    }

    fn resolved(&self, state: &State, agents: &[&'static str]) -> Resolved {
        let later = |agent: &&'static str| {
            let turns = state.turns(self.app, agent).into_iter();
            turns.filter(|(at, _)| self.began < *at).count()
        };
        let refusals = |agent: &&'static str| {
            let answers = state.answers.get(&(self.app, *agent)).into_iter().flatten();
            let later = answers.filter(|(at, _)| self.began < *at);
            later.filter(|(_, it)| matches!(it, Answer::Empty | Answer::Failed(_))).count()
        };
        let after = agents.iter().find_map(|agent| state.turns(self.app, agent).pop());
        Resolved {
            name: domain(self.app),
            servers: agents.len(),
            before: self.before.clone(),
            after: after.map(|(_, addresses)| addresses.to_vec()).unwrap_or_default(),
            changes: agents.iter().map(later).collect(),
            failures: agents.iter().map(refusals).sum(),
        }
    }
}

/// The stack that was moved away from.
fn old_stack(view: &AppView) -> Result<&StackView, Trouble> {
    let from = &view.decision.from;
    let old = view.stacks.iter().find(|stack| stack.stack == *from);
    old.ok_or_else(|| Trouble(format!("{} has no stack {from}", view.app)))
}

/// Who signed that a stack is down: its databases where it has any, of which one is enough, or else its whole web.
fn evidence(certificate: &Certificate, stack: &StackView) -> EvidenceCount {
    let statements: Vec<_> = certificate.evidence.iter().map(|it| &it.statement).collect();
    let data = stack.targets.iter().any(|target| target.database);
    let down = |statement: &&&Statement| {
        let sees = |target: &TargetView| {
            statement.beliefs.iter().any(|belief| {
                belief.target.stack == stack.stack
                    && belief.target.name == target.target
                    && belief.health == Health::Down
            })
        };
        let mut targets = stack.targets.iter().filter(|target| target.database == data);
        let down = if data { targets.any(sees) } else { targets.all(sees) };
        statement.abstention.is_none() && down
    };
    let down: Vec<_> = statements.iter().filter(down).collect();
    let regions: BTreeSet<_> = down.iter().map(|statement| &statement.region).collect();
    EvidenceCount {
        signed: statements.len(),
        down: down.len(),
        regions: regions.len(),
        ballot: certificate.ballot.to_string(),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}
