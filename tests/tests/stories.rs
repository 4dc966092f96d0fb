//! Every story in `tests/scenarios` is told as it was told before, and breaks no rule.

use std::path::{Path, PathBuf};

use simulator::story;

#[test]
fn every_story_is_told_as_before() {
    let mut changed = Vec::new();
    let stories = stories();
    assert!(!stories.is_empty(), "there are stories");
    for path in stories {
        let before = std::fs::read_to_string(&path).expect("a story can be read");
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        match story::play(&before) {
            Err(why) => changed.push(format!("{name}: {why}")),
            Ok(now) if now.contains("VIOLATION") => {
                let broken = now.lines().filter(|line| line.contains("VIOLATION"));
                changed.push(format!("{name}: {}", broken.collect::<Vec<_>>().join("\n")));
            }
            Ok(now) if now == before => {}
            Ok(now) if std::env::var_os("UPDATE").is_some() => {
                std::fs::write(&path, now).expect("a story can be written");
            }
            Ok(now) => changed
                .push(format!("{name} is told differently:\n{}", first_change(&before, &now))),
        }
    }
    assert!(changed.is_empty(), "{}\n(UPDATE=1 rewrites)", changed.join("\n"));
}

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(folder).expect("scenarios can be listed");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "story"))
        .collect();
    paths.sort();
    paths
}

fn first_change(before: &str, now: &str) -> String {
    let mut pairs = before.lines().zip(now.lines()).enumerate();
    match pairs.find(|(_, (before, now))| before != now) {
        Some((number, (before, now))) => {
            format!("  line {}\n  then: {before}\n  now:  {now}", number + 1)
        }
        None => "  one of them goes on".into(),
    }
}
