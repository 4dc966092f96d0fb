//! The third act: everything of the active stack is killed, and the other one serves.

use std::collections::BTreeSet;
use std::time::Instant;

use consensus::model::Certificate;
use consensus::view::AppView;

use super::seen::{Snapshot, Watch, evidence, old_stack};
use super::{MOVE, Play, seconds};
use crate::cli::table::Ink;
use crate::demo::postgres;
use crate::demo::process::Trouble;
use crate::demo::report::{EvidenceCount, Resolved, Rows, StackKilled, Times};
use crate::demo::watch::Row;
use crate::demo::web::Web;
use crate::demo::world::{AGENTS, SHOP};

impl Play<'_> {
    /// Kills the shop's web servers and its primary, and looks what becomes of them.
    pub(super) async fn kill_stack(&mut self) -> Result<(), Trouble> {
        self.until_ready(&[SHOP]).await?;
        let before = Snapshot::take(&self.scene.state());
        let watch = Watch::begin(&self.scene.state(), SHOP);
        let blow = self.stage.blow();
        self.world.webs_of(SHOP, "east").for_each(Web::kill);
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
        self.judge_dns(2, SHOP, ("east", "west"), dns, phases);
        if let Some(rows) = rows {
            let happened = format!(
                "{} of {} found in west; {} more since",
                rows.found_after, rows.written_before, rows.written_after
            );
            let kept = rows.written_before == rows.found_after && rows.written_before > 0;
            self.report.expect(2, "every acknowledged row is still there", happened, kept);
        }
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
}
