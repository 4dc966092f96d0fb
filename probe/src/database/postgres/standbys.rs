//! `synchronous_standby_names`: for which replicas commits wait, read and written (PostgreSQL documentation, 20.6.2).

use std::iter::Peekable;
use std::str::Chars;

use consensus::model::Waits;

/// The setting, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standbys {
    /// Is any choice of as many enough (`ANY`), and not the first that are there (`FIRST`)?
    any: bool,
    /// How many must answer.
    wanted: usize,
    /// Those that are listed.
    listed: Vec<String>,
    /// Is everybody (`*`) among them?
    everyone: bool,
}

impl Standbys {
    /// Takes the setting apart; none if nobody is waited for, or it is no such setting.
    pub fn read(setting: &str) -> Option<Self> {
        let setting = setting.trim();
        let (head, list) = match setting.split_once('(') {
            Some((head, list)) if !head.contains(['"', ',']) => (head, list.strip_suffix(')')?),
            _ => ("", setting),
        };
        let mut words = head.split_whitespace();
        let (any, wanted) = match (words.next(), words.next(), words.next()) {
            (None, ..) => (false, 1),
            (Some(number), None, _) => (false, number.parse().ok()?),
            (Some(word), Some(number), None) => {
                let any = word.eq_ignore_ascii_case("any");
                (any || word.eq_ignore_ascii_case("first")).then_some(())?;
                (any, number.parse().ok()?)
            }
            _ => return None,
        };
        let mut letters = list.chars().peekable();
        let (mut listed, mut everyone) = (Vec::new(), false);
        loop {
            match name(&mut letters)? {
                // Quoted or not.
                star if star == "*" => everyone = true,
                name => listed.push(name),
            }
            match letters.next() {
                None => break,
                Some(',') => {}
                Some(_) => return None,
            }
        }
        Some(Self { any, wanted, listed, everyone })
    }

    /// The replicas without whose word no commit is acknowledged, of those that are there (`sync` and `quorum`, as
    /// `pg_stat_replication` says). Where all that are listed must answer, they count whether they are there or not: else no
    /// commit is acknowledged at all. A primary that dies is often last seen like that, its replica having noticed a moment
    /// before. With `ANY n` each single one may be spared as long as `n` others answer.
    pub fn required(&self, sync: Vec<String>, quorum: Vec<String>) -> Vec<String> {
        let (marks, listed): (Vec<_>, Vec<_>) =
            self.listed.iter().cloned().partition(|name| Waits::marked(name).is_some());
        // Whom it names it compares without case; by what it calls itself a replica is known everywhere else.
        let connected = |name: String| {
            let mut there = sync.iter().chain(&quorum);
            there.find(|it| it.eq_ignore_ascii_case(&name)).cloned().unwrap_or(name)
        };
        let names = match (self.everyone, self.any) {
            (false, _) if listed.len() <= self.wanted => {
                listed.into_iter().map(connected).collect()
            }
            // What bears a mark names all that must answer: somebody has changed it.
            _ if !marks.is_empty() => Vec::new(),
            (true, true) if quorum.len() <= self.wanted => quorum,
            (_, true) => Vec::new(),
            (_, false) => sync,
        };
        marks.into_iter().chain(names).collect()
    }

    /// Whom it names, and the version of the agreed set that it rests on.
    pub fn waits(&self) -> Waits {
        Waits::named(&self.listed)
    }
}

/// The setting by which all of these are waited for. Its mark is one name more than must answer, and nobody's.
pub fn setting(waits: &Waits) -> String {
    let wanted = waits.names.len();
    let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
    let listed: Vec<_> = waits.names.iter().chain(&waits.mark()).map(quoted).collect();
    match wanted {
        0 => String::new(),
        _ => format!("FIRST {wanted} ({})", listed.join(", ")),
    }
}

/// The next name of a list.
fn name(letters: &mut Peekable<Chars<'_>>) -> Option<String> {
    while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    let mut name = String::new();
    let quoted = letters.next_if_eq(&'"').is_some();
    if quoted {
        loop {
            match letters.next()? {
                '"' if letters.next_if_eq(&'"').is_some() => name.push('"'),
                '"' => break,
                letter => name.push(letter),
            }
        }
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    } else {
        while let Some(letter) = letters.next_if(|letter| !matches!(letter, ',' | '"' | '(' | ')'))
        {
            name.push(letter);
        }
        name.truncate(name.trim_end().len());
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for names in [&["b"][..], &["b", "c"], &["a \"b\", c", "d"], &[]] {
            let app = Some("shop".parse().expect("a name"));
            let names = names.iter().map(|it| (*it).to_owned()).collect();
            let waits = Waits { app, version: 7, names };
            let read = Standbys::read(&setting(&waits));
            let expected = Some(waits).filter(|it| !it.names.is_empty());
            assert_eq!(read.map(|it| it.waits()), expected);
        }
    }

    #[test]
    fn what_is_no_setting_is_not_read() {
        for text in
            ["", " ", "1 (b", "LAST 1 (b)", "FIRST x (b)", "FIRST 1 ()", "b,", "\"b", "b c (d)"]
        {
            assert_eq!(Standbys::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_mark_is_waited_for_by_nobody() {
        let marked = "FIRST 1 (\"b\", \"quorate:sync:shop:3\")";
        let found = Standbys::read(marked).expect("it is a setting");
        let expected = ["quorate:sync:shop:3", "b"].map(str::to_owned).to_vec();
        assert_eq!(found.required(vec![], vec![]), expected);
        assert_eq!(found.required(vec!["b".into()], vec![]), expected);
        let widened =
            Standbys::read("FIRST 1 (b, c, \"quorate:sync:shop:3\")").expect("it is a setting");
        assert_eq!(widened.required(vec!["b".into()], vec![]), ["quorate:sync:shop:3"]);
    }

    #[test]
    fn a_replica_is_known_by_how_it_spells_itself() {
        let found = Standbys::read("FIRST 2 (Shop_B, c)").expect("it is a setting");
        assert_eq!(found.required(vec!["shop_b".into()], vec![]), ["shop_b", "c"]);
    }
}
