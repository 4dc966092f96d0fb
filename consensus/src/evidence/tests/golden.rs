//! Golden rows: `golden.txt` beside this file holds an evidence graph a line, and what the rule makes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{belief, definition, sight, stack, voters, witness_of};
use crate::evidence::Panel;
use crate::model::{
    Abstention, AgentId, Belief, Candidate, Definition, Engine, Fencing, GuardSight, Health, Region,
};

const ROWS: &str = include_str!("golden.txt");
/// Observers live here, one after the other.
const OBSERVED_FROM: [&str; 3] = ["x", "y", "z"];

/// One row, taken apart.
struct Row<'a> {
    /// `a` or `b`, and what of it, → one letter a witness.
    words: Vec<(&'a str, &'a str)>,
    twists: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn new(graph: &'a str) -> Self {
        let (words, twists) = graph.split_whitespace().partition::<Vec<_>, _>(|word| {
            word.split_once('=').is_some_and(|(what, _)| WORDS.contains(&what))
        });
        let words = words.into_iter().filter_map(|word| word.split_once('='));
        Self { words: words.collect(), twists }
    }

    fn letters(&self, what: &str) -> Option<&'a str> {
        self.words.iter().find(|(name, _)| *name == what).map(|(_, letters)| *letters)
    }

    fn letter(&self, what: &str, n: usize) -> Option<char> {
        self.letters(what)?.chars().nth(n)
    }

    fn has(&self, twist: &str) -> bool {
        self.twists.contains(&twist)
    }

    fn number(&self, twist: &str) -> Option<u64> {
        let number = |word: &&str| word.strip_prefix(twist)?.strip_prefix('=')?.parse().ok();
        self.twists.iter().find_map(number)
    }

    fn definition(&self) -> Definition {
        let mut definition = definition(self.letters("data-a").is_some());
        definition.regions = self.number("regions").unwrap_or(2) as usize;
        definition.data.max_loss_bytes = self.number("budget").unwrap_or(1024);
        if self.has("mariadb") {
            let databases = definition.stacks.iter_mut().flat_map(|it| &mut it.databases);
            databases.for_each(|it| it.engine = Engine::Mysql);
        }
        if self.has("dns-only") {
            definition.data.fencing = Fencing::DnsOnly;
        }
        if self.has("required") {
            definition.data.fencing = Fencing::Required;
        }
        definition
    }

    /// What one witness believes: voters first, observers as their own words say.
    fn beliefs(&self, of: [&str; 4], n: usize) -> Vec<Belief> {
        let [web_a, web_b, data_a, data_b] = of.map(|what| self.letter(what, n));
        let mut beliefs = Vec::new();
        for (name, letter) in [("a", web_a), ("b", web_b)] {
            beliefs.extend(letter.map(|letter| self.belief(name, "web-1", letter)));
        }
        if let Some(letter) = data_a {
            let mut primary = self.belief("a", "orders", letter);
            let age = Duration::from_secs(self.number("silent").unwrap_or(9));
            primary.database = (!self.has("never-seen")).then(|| (sight(false, 5000), age));
            primary.guard = self.letter("guard", n).and_then(guard);
            beliefs.push(primary);
        }
        if let Some(letter) = data_b {
            let mut standby = self.belief("b", "orders", letter);
            let mut seen = sight(true, 5000 - self.number("behind").unwrap_or(0));
            seen.replica = !self.has("promoted");
            if self.has("other-history") {
                seen.system = 8;
            }
            if self.has("other-timeline") {
                seen.timeline = 2;
            }
            if let Some(secs) = self.number("cut-for") {
                seen.streaming = false;
                seen.heard = Some(Duration::from_secs(secs));
            }
            if self.has("not-awaited") {
                seen.upstream_name = Some("c".into());
            }
            standby.database = Some((seen, Duration::ZERO));
            standby.advancing = self.has("streams");
            beliefs.push(standby);
        }
        beliefs
    }

    /// `D` down, `U` up, `u` up but not for long, `g` neither, `n` silent and never reached from there.
    fn belief(&self, stack: &str, name: &str, letter: char) -> Belief {
        let known = if matches!(letter, 'n' | 'a') { 'D' } else { letter.to_ascii_uppercase() };
        let mut belief = belief(stack, name, known);
        belief.reached = letter != 'n';
        belief.qualified = letter == 'U';
        belief.failures = u16::from(belief.health != Health::Up);
        belief.quiet = (letter == 'g').then_some(Duration::from_secs(5));
        belief
    }

    fn says(&self) -> String {
        let definition = self.definition();
        let voters = voters();
        let mut words: Vec<(AgentId, Region, Option<Abstention>, Vec<Belief>)> = Vec::new();
        for (n, voter) in voters.members.iter().enumerate() {
            let letter = self.letter("a", n).or(self.letter("data-a", n));
            if letter == Some('.') {
                continue;
            }
            let abstention = (letter == Some('a')).then_some(Abstention::CutOff);
            let beliefs = self.beliefs(["a", "b", "data-a", "data-b"], n);
            words.push((voter.agent.clone(), voter.region.clone(), abstention, beliefs));
        }
        for (n, letter) in self.letters("seen-a").unwrap_or_default().chars().enumerate() {
            let agent = format!("o{n:02}").parse().unwrap();
            let region = OBSERVED_FROM[n % OBSERVED_FROM.len()].parse().unwrap();
            let abstention = match letter {
                'a' => Abstention::CutOff,
                _ => Abstention::Observer,
            };
            let beliefs = self.beliefs(["seen-a", "seen-b", "-", "-"], n);
            words.push((agent, region, Some(abstention), beliefs));
        }
        let a = stack("a");
        let candidates =
            [Candidate { name: "orders".parse().unwrap(), system: 7, timeline: 1, position: 4000 }];
        let panel = Panel::new(&definition, &voters, words.iter().map(witness_of));
        let panel = if self.has("fenced") { panel.behind_fence(&a) } else { panel };
        let panel = if self.has("decided") { panel.recalling(&candidates) } else { panel };
        match panel.failover(&a) {
            Ok(choice) => {
                let loss = choice.loss_bytes.map_or(String::new(), |it| format!(", losing {it}"));
                let moves = format!("{:?}", choice.path).to_lowercase();
                format!("move {moves} to {}{loss}: {}", choice.to, choice.reason)
            }
            Err(why) => why,
        }
    }
}

/// What begins a word of witnesses, one letter each.
const WORDS: [&str; 7] = ["a", "b", "data-a", "data-b", "seen-a", "seen-b", "guard"];

/// `w` well, `d` says that its database is dead, `f` well and fenced by us, `l` silent while its lease may still run, `s`
/// silent for good, `n` the same and never lived by leases, `.` unknown to this voter.
fn guard(letter: char) -> Option<GuardSight> {
    let (heard, health, open) = match letter {
        'w' => (1, Health::Up, true),
        'd' => (1, Health::Down, true),
        'f' => (1, Health::Up, false),
        'l' => (9, Health::Up, true),
        's' | 'n' => (30, Health::Up, false),
        _ => return None,
    };
    Some(GuardSight { heard: Duration::from_secs(heard), health, open, lived: letter != 'n' })
}

#[test]
fn every_row_says_what_it_said() {
    let rows: Vec<_> = ROWS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" -> ").unwrap_or((line, "")))
        .collect();
    let graphs: BTreeSet<_> = rows.iter().map(|(graph, _)| graph.trim()).collect();
    assert_eq!(graphs.len(), rows.len(), "a row stands twice");
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let told: Vec<_> = rows
        .iter()
        .map(|(graph, expected)| (graph, *expected, Row::new(graph).says()))
        .filter(|(_, expected, found)| expected.trim() != found)
        .map(|(graph, _, found)| format!("{graph} -> {found}"))
        .collect();
    assert!(told.is_empty(), "these say something else by now:\n{}", told.join("\n"));
}
