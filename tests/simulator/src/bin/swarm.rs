//! `swarm --seeds N [--first S] [--mutant NAME]`, `swarm --seed S` and `swarm mutants [--seeds N]`.
//!
//! Runs seeds of the simulator on every core and says what they broke. The last line is for machines:
//! `N seeds, F failovers, V violations`; the exit status is 1 if there was a violation.
//!
//! `--regime NAME --days N` lets meshes live under one kind of bad weather in which all stacks are well, a day a seed.
//!
//! `cells` goes straight for every crash cell of PROTOCOL.md D.2 and ends with how many it hit; `cells --cell N --seed S`
//! tells one such run.
//!
//! With the seeds go the ordeals: short runs aimed at one rule each. `--ordeal N --seed S` tells one such run.
//!
//! `mutants` breaks one rule after the other, in the models that know it, and then in the ordeals or the seed that do: each must
//! notice; `--mutant NAME` asks for one. Its last line is `N of N caught`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use consensus::mutant::Mutant;
use simulator::aimed;
use simulator::cells::{self, Cell};
use simulator::models;
use simulator::ordeals::{self, Ordeal};
use simulator::regime::{self, Regime};
use simulator::swarm::{Verdict, run};

/// A run is many small allocations: a fifteenth of its time is saved by an allocator that is good at them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was asked for.
#[derive(Default)]
struct Asked {
    mutants: bool,
    cells: bool,
    regime: Option<Regime>,
    days: Option<u64>,
    cell: Option<u64>,
    ordeal: Option<u64>,
    seeds: Option<u64>,
    first: u64,
    seed: Option<u64>,
    mutant: Option<Mutant>,
    threads: Option<usize>,
}

/// Seeds that show what no ordeal is about. One that shows it no more, because runs have become others, is replaced by what
/// `swarm --mutant NAME --seeds N` finds.
const SEEDS: [(Mutant, u64); 15] = [
    (Mutant::BallotReused, 1),
    (Mutant::AnswersCounted, 9),
    (Mutant::InstanceKept, 15),
    (Mutant::SentBeforeSaved, 0),
    (Mutant::ReadNewest, 7),
    (Mutant::SweepWithOldQuorum, 41),
    (Mutant::VotersUnfenced, 788),
    (Mutant::DirectChange, 4),
    (Mutant::OnlyNewMajority, 9),
    (Mutant::EvidenceOnce, 2),
    (Mutant::CompletedUnseen, 439),
    (Mutant::SilenceShuts, 36),
    (Mutant::PromotesDespiteLease, 18),
    (Mutant::SameTokenAbort, 2),
    (Mutant::ReliedUnseen, 1),
];
/// An ordeal that knows a mutant catches it within so many.
const ORDEAL_SEEDS: u64 = 24;
/// Every ordeal is gone through once for so many seeds of a swarm.
const SEEDS_AN_ORDEAL: u64 = 400;
/// Who waits for many runs is told after so many that it goes on.
const TELL: usize = 2_000;
/// How long a mesh lives under a regime.
const DAY: Duration = Duration::from_secs(24 * 3600);

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            eprintln!("swarm: {why}");
            return ExitCode::from(2);
        }
    };
    match (asked.mutants, asked.cells, asked.seed) {
        (true, _, _) => hunt(&asked),
        (false, true, _) => visit(&asked),
        (false, false, Some(seed)) => replay(seed, &asked),
        (false, false, None) => swarm(&asked),
    }
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut asked = Asked::default();
    while let Some(word) = words.next() {
        let mut number = |what: &str| {
            let text = words.next().ok_or(format!("{what} expects a number"))?;
            text.parse::<u64>().map_err(|_| format!("{what} expects a number, found `{text}`"))
        };
        match word.as_str() {
            "mutants" => asked.mutants = true,
            "cells" => asked.cells = true,
            "--days" => asked.days = Some(number("--days")?),
            "--regime" => {
                let name = words.next().ok_or("--regime expects a name")?;
                let found = Regime::ALL.iter().find(|(known, _)| *known == name);
                let known: Vec<_> = Regime::ALL.iter().map(|(known, _)| *known).collect();
                asked.regime = Some(found.ok_or(format!("no regime `{name}`: {known:?}"))?.1);
            }
            "--cell" => asked.cell = Some(number("--cell")?),
            "--ordeal" => asked.ordeal = Some(number("--ordeal")?),
            "--seeds" => asked.seeds = Some(number("--seeds")?),
            "--first" => asked.first = number("--first")?,
            "--seed" => asked.seed = Some(number("--seed")?),
            "--threads" => asked.threads = Some(number("--threads")? as usize),
            "--mutant" => {
                let name = words.next().ok_or("--mutant expects a name")?;
                let found =
                    Mutant::ALL.iter().copied().find(|mutant| format!("{mutant:?}") == name);
                asked.mutant = Some(found.ok_or(format!("no mutant `{name}`: {:?}", Mutant::ALL))?);
            }
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(asked)
}

/// Runs seeds and says what they broke.
fn swarm(asked: &Asked) -> ExitCode {
    let seeds = asked.seeds.or(asked.days).unwrap_or(if asked.regime.is_some() { 1 } else { 100 });
    let began = Instant::now();
    let mut verdicts = spread(asked, seeds, false);
    if asked.regime.is_none() {
        verdicts.extend(undergo(asked, seeds.div_ceil(SEEDS_AN_ORDEAL)));
    }
    let mut tally: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut simulated, mut violations) = (Duration::ZERO, 0);
    let mut covered: BTreeMap<Cell, u64> = BTreeMap::new();
    for verdict in &verdicts {
        simulated += verdict.simulated;
        for (what, count) in &verdict.tally {
            *tally.entry(what).or_default() += count;
        }
        for cell in &verdict.cells {
            *covered.entry(*cell).or_default() += 1;
        }
        violations += verdict.violations.len();
    }
    for (what, count) in &tally {
        println!("{count:>9} {what}");
    }
    println!("{}", cells::table(&covered));
    let took = began.elapsed().as_secs_f64();
    let rate = simulated.as_secs_f64() / took;
    println!("{:.0} simulated seconds in {took:.1} s: {rate:.0} a second", simulated.as_secs_f64());
    let failovers = tally.get("failovers").copied().unwrap_or_default();
    println!("{seeds} seeds, {failovers} failovers, {violations} violations");
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Goes for every crash cell, and says which were hit.
fn visit(asked: &Asked) -> ExitCode {
    let all: Vec<Cell> = Cell::reachable().collect();
    if let Some(cell) = asked.cell.and_then(|number| all.get(number as usize)) {
        let simulation = aimed::play(*cell, asked.seed.unwrap_or(asked.first), true);
        for line in simulation.transcript.lines() {
            println!("{line}");
        }
        println!("for: {cell}");
        for hit in simulation.chronicle.cells(&simulation.registers) {
            println!("hit: {hit}");
        }
        return ExitCode::SUCCESS;
    }
    let began = Instant::now();
    let tour = aimed::tour(asked.first, asked.seeds.unwrap_or(aimed::ATTEMPTS));
    for (number, cell) in all.iter().enumerate().filter(|(_, it)| !tour.covered.contains_key(it)) {
        println!("cell {number} not hit: {cell}");
    }
    for (cell, seed, violation) in &tour.violations {
        let number = all.iter().position(|it| it == cell).unwrap_or_default();
        println!("--cell {number} --seed {seed}: {violation}");
    }
    println!("{}", cells::table(&tour.covered));
    println!("{} runs in {:.1} s", tour.runs, began.elapsed().as_secs_f64());
    let whole = all.iter().all(|cell| tour.covered.contains_key(cell));
    match whole && tour.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Runs one seed and says everything.
fn replay(seed: u64, asked: &Asked) -> ExitCode {
    let ordeal = asked.ordeal.and_then(|number| ordeals::all().nth(number as usize));
    let verdict = match (ordeal, asked.regime) {
        (Some(ordeal), _) => ordeal.run(seed, asked.mutant, true),
        (None, Some(regime)) => regime::run(regime, seed, DAY, true),
        (None, None) => run(seed, asked.mutant, true),
    };
    for line in &verdict.lines {
        println!("{line}");
    }
    let failovers = verdict.tally.get("failovers").copied().unwrap_or_default();
    println!("1 seeds, {failovers} failovers, {} violations", verdict.violations.len());
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Breaks one rule after the other, and whoever knows it must notice. A model may break the rule in code of its own; that the
/// core's own switch of it does harm, only an ordeal or a seed shows.
fn hunt(asked: &Asked) -> ExitCode {
    let all = Mutant::ALL.iter().filter(|it| asked.mutant.is_none_or(|wanted| wanted == **it));
    let (mut hunted, mut caught, mut modelled_only) = (0, 0, 0);
    for &mutant in all {
        let began = Instant::now();
        let in_models: Vec<_> = in_models(mutant).collect();
        let in_runs: Vec<_> = in_ordeals(mutant, asked).chain(in_a_seed(mutant)).collect();
        let mut known = in_models.iter().chain(&in_runs).peekable();
        let is_caught = known.peek().is_some() && known.all(Option::is_some);
        let first = in_models.first().into_iter().chain(in_runs.first()).flatten();
        let by = first.cloned().collect::<Vec<_>>().join("; and by ");
        let took = began.elapsed().as_secs_f64();
        match is_caught {
            true => println!("{mutant:?}: caught after {took:.1} s by {by}"),
            false => println!("{mutant:?}: not caught, after {took:.1} s, or not by all: {by}"),
        }
        hunted += 1;
        caught += usize::from(is_caught);
        modelled_only += usize::from(is_caught && in_runs.is_empty());
    }
    println!("{modelled_only} by a model alone");
    println!("{caught} of {hunted} caught");
    if caught == hunted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What each model found that knows it; `None`: nothing.
fn in_models(mutant: Mutant) -> impl Iterator<Item = Option<String>> {
    models::sheets().filter(move |sheet| sheet.knows.contains(&mutant)).map(move |sheet| {
        let found = (sheet.explore)(Some(mutant)).broken;
        if found.is_none() {
            println!("{mutant:?}: does no harm in {}", sheet.name);
        }
        found.map(|it| format!("{}, in {} steps: {}", sheet.name, it.steps.len(), it.property))
    })
}

/// What each ordeal came to that knows it.
fn in_ordeals(mutant: Mutant, asked: &Asked) -> impl Iterator<Item = Option<String>> {
    ordeals::all().filter(move |ordeal| ordeal.knows.contains(&mutant)).map(move |ordeal| {
        let run = |number| ordeal.run(asked.first + number, Some(mutant), false);
        let verdicts = share(asked, ORDEAL_SEEDS, true, run);
        let Some(verdict) = verdicts.iter().find(|verdict| !verdict.violations.is_empty()) else {
            println!("{mutant:?}: does no harm in {ORDEAL_SEEDS} times `{}`", ordeal.name);
            return None;
        };
        told(mutant, verdict, &ordeal.run(verdict.seed, None, false))
    })
}

/// What the seed came to that shows it.
fn in_a_seed(mutant: Mutant) -> Option<Option<String>> {
    let (_, seed) = SEEDS.iter().find(|(of, _)| *of == mutant)?;
    let verdict = run(*seed, Some(mutant), false);
    if verdict.violations.is_empty() {
        println!("{mutant:?}: does no harm in seed {seed}");
        return Some(None);
    }
    Some(told(mutant, &verdict, &run(*seed, None, false)))
}

/// What was caught. The same run with every rule in force must break nothing, or it was not the mutant that was caught.
fn told(mutant: Mutant, verdict: &Verdict, whole: &Verdict) -> Option<String> {
    let (of, seed, first) = (&verdict.of, verdict.seed, verdict.violations.first()?);
    if !whole.violations.is_empty() {
        println!("{mutant:?}: {of}seed {seed} breaks without it, too: {}", whole.violations[0]);
        return None;
    }
    Some(format!("{of}seed {seed}, `{}`: {}", first.checker, first.text))
}

/// Goes through every ordeal so many times.
fn undergo(asked: &Asked, times: u64) -> Vec<Verdict> {
    let all: Vec<&Ordeal> = ordeals::all().collect();
    let run = |number: u64| {
        let (ordeal, time) = (number as usize % all.len(), number / all.len() as u64);
        all[ordeal].run(asked.first + time, asked.mutant, false)
    };
    share(asked, times * all.len() as u64, false, run)
}

/// Runs seeds on every core, up to the first violation if one is enough. In the order of seeds.
fn spread(asked: &Asked, seeds: u64, one_is_enough: bool) -> Vec<Verdict> {
    share(asked, seeds, one_is_enough, |number| match asked.regime {
        Some(regime) => regime::run(regime, asked.first + number, DAY, false),
        None => run(asked.first + number, asked.mutant, false),
    })
}

/// Does this so many times, shared by every core, up to the first violation if one is enough; else says what is broken as
/// soon as it is.
fn share(
    asked: &Asked,
    times: u64,
    one_is_enough: bool,
    run: impl Fn(u64) -> Verdict + Sync,
) -> Vec<Verdict> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..asked.threads.unwrap_or(cores) {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= times {
                        return;
                    }
                    let verdict = run(number);
                    match verdict.violations.first() {
                        Some(_) if one_is_enough => enough.store(true, Ordering::Relaxed),
                        Some(first) => println!("{}seed {}: {first}", verdict.of, verdict.seed),
                        None => {}
                    }
                    let mut all = verdicts.lock().expect("no thread panics while it holds this");
                    all.push(verdict);
                    if all.len().is_multiple_of(TELL) {
                        eprintln!("{} of {times} runs", all.len());
                    }
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("every thread has ended");
    verdicts.sort_by_key(|verdict| verdict.seed);
    verdicts
}
