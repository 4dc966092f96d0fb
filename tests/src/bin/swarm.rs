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
//! `mutants` breaks one rule after the other, in the models that know it and then in the simulator, until something
//! notices; `--mutant NAME` asks for one. Its last line is `N of N caught`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use consensus::mutant::Mutant;
use tests::models;
use tests::sim::aimed;
use tests::sim::cells::{self, Cell};
use tests::sim::regime::{self, Regime};
use tests::sim::swarm::{Verdict, run};

/// What was asked for.
#[derive(Default)]
struct Asked {
    mutants: bool,
    cells: bool,
    regime: Option<Regime>,
    days: Option<u64>,
    cell: Option<u64>,
    seeds: Option<u64>,
    first: u64,
    seed: Option<u64>,
    mutant: Option<Mutant>,
    threads: Option<usize>,
}

/// A mutant that survives this many seeds is not caught.
const MUTANT_SEEDS: u64 = 2_000;
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
    let verdicts = spread(asked, seeds, false);
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
        if let Some(first) = verdict.violations.first() {
            println!("seed {}: {first}", verdict.seed);
        }
    }
    for (what, count) in &tally {
        println!("{count:>9} {what}");
    }
    println!("{}", cells::table(&covered));
    let took = began.elapsed().as_secs_f64();
    let rate = simulated.as_secs_f64() / took;
    println!("{:.0} simulated seconds in {took:.1} s: {rate:.0} a second", simulated.as_secs_f64());
    let failovers = tally.get("failovers").copied().unwrap_or_default();
    println!("{} seeds, {failovers} failovers, {violations} violations", verdicts.len());
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
    let verdict = match asked.regime {
        Some(regime) => regime::run(regime, seed, DAY, true),
        None => run(seed, asked.mutant, true),
    };
    for line in &verdict.lines {
        println!("{line}");
    }
    let failovers = verdict.tally.get("failovers").copied().unwrap_or_default();
    println!("1 seeds, {failovers} failovers, {} violations", verdict.violations.len());
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Breaks one rule after the other and waits for somebody to notice: a model if one knows it, else the simulator.
fn hunt(asked: &Asked) -> ExitCode {
    let all = Mutant::ALL.iter().filter(|it| asked.mutant.is_none_or(|wanted| wanted == **it));
    let (mut hunted, mut caught) = (0, 0);
    for &mutant in all {
        let began = Instant::now();
        let noticed = in_models(mutant).or_else(|| in_the_swarm(mutant, asked));
        let took = began.elapsed().as_secs_f64();
        hunted += 1;
        caught += usize::from(noticed.is_some());
        match noticed {
            Some(by) => println!("{mutant:?}: caught after {took:.1} s by {by}"),
            None => println!("{mutant:?}: not caught, after {took:.1} s"),
        }
    }
    println!("{caught} of {hunted} caught");
    if caught == hunted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn in_models(mutant: Mutant) -> Option<String> {
    models::sheets().filter(|sheet| sheet.knows.contains(&mutant)).find_map(|sheet| {
        let broken = (sheet.explore)(Some(mutant)).broken?;
        Some(format!("{}, in {} steps: {}", sheet.name, broken.steps.len(), broken.property))
    })
}

fn in_the_swarm(mutant: Mutant, asked: &Asked) -> Option<String> {
    let seeds = asked.seeds.unwrap_or(MUTANT_SEEDS);
    let asked = Asked { mutant: Some(mutant), first: asked.first, ..Asked::default() };
    let verdicts = spread(&asked, seeds, true);
    let (seed, first) = verdicts
        .iter()
        .filter_map(|verdict| verdict.violations.first().map(|first| (verdict.seed, first)))
        .min_by_key(|(seed, _)| *seed)?;
    // The same seed with every rule in force must break nothing, or it was not the mutant that was caught.
    if !run(seed, None, false).violations.is_empty() {
        println!("{mutant:?}: seed {seed} breaks without it, too: {first}");
        return None;
    }
    Some(format!("seed {seed}, `{}`: {}", first.checker, first.text))
}

/// Runs seeds on every core, up to the first violation if one is enough. In the order of seeds.
fn spread(asked: &Asked, seeds: u64, one_is_enough: bool) -> Vec<Verdict> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..asked.threads.unwrap_or(cores) {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        return;
                    }
                    let seed = asked.first + number;
                    let verdict = match asked.regime {
                        Some(regime) => regime::run(regime, seed, DAY, false),
                        None => run(seed, asked.mutant, false),
                    };
                    if one_is_enough && !verdict.violations.is_empty() {
                        enough.store(true, Ordering::Relaxed);
                    }
                    verdicts.lock().expect("no thread panics while it holds this").push(verdict);
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().expect("every thread has ended");
    verdicts.sort_by_key(|verdict| verdict.seed);
    verdicts
}
