//! The first act: a mesh comes up, learns two apps, and gets ready. The second: one observer is blinded.

use std::time::{Duration, Instant};

use consensus::model::Health;
use consensus::view::TargetView;
use serde_json::Value;
use tokio::time::sleep;

use super::seen::Snapshot;
use super::{ASKED, BLINDED, MOVE, Play, UP, millis};
use crate::cli::table::{Ink, span};
use crate::demo::postgres::Databases;
use crate::demo::process::Trouble;
use crate::demo::report::{Blinded, Start};
use crate::demo::watch::State;
use crate::demo::world::{AGENTS, BLOG, SHOP, WINDOW};

impl Play<'_> {
    /// Starts everything, puts both apps before the voters, and waits until a failover would succeed.
    pub(super) async fn start(&mut self) -> Result<(), Trouble> {
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
            let databases = Databases::start(&self.world.folder, installed, places)
                .await
                .map_err(|why| Trouble(format!("{why} (`--databases none` does without)")))?;
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

    /// One agent of five is refused by the active web for longer than a window.
    pub(super) async fn blind(&mut self) -> Result<(), Trouble> {
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
}
