//! What `INFO replication` says → whose history a server is in, how far, and where two of them parted.
//!
//! A server that was promoted, or started again from its file, is in a history of its own, and tells where it left the one
//! before (`master_replid2`, `second_repl_offset`: one step back, and no further).

use super::resp::Info;

/// What a server said of itself.
#[derive(Clone, Debug)]
pub struct Seen(pub String);

impl Seen {
    /// Its words.
    pub fn info(&self) -> Info<'_> {
        Info(&self.0)
    }

    /// Is it nobody's replica?
    pub fn is_primary(&self) -> bool {
        self.info().text("role") == Some("master")
    }

    /// Does this replica have a connection with whom it follows?
    pub fn is_linked(&self) -> bool {
        self.info().text("master_link_status") == Some("up")
    }

    /// The offset of its last byte. Of a primary: written. Of a replica: applied.
    pub fn position(&self) -> Option<u64> {
        let key = if self.is_primary() { "master_repl_offset" } else { "slave_repl_offset" };
        self.info().number(key)
    }

    /// Where this primary left the history that another server is still in, if it came from there.
    pub fn left_of(&self, other: &Self) -> Option<u64> {
        let theirs = other.info().history("master_replid")?;
        match self.info().history("master_replid") == Some(theirs) {
            true => self.position(),
            false => self.second().filter(|(second, _)| *second == theirs).map(|(_, left)| left),
        }
    }

    /// Was another primary started anew from what it had saved of this one's history, before this one left that? Then up to
    /// this offset of its own log, this one has all of it. A server that was promoted says the same of itself.
    pub fn saved_of(&self, other: &Self) -> Option<u64> {
        let ((own, fork), (theirs, saved)) = (self.second()?, other.second()?);
        (own == theirs && saved <= fork).then_some(saved)
    }

    /// The same, and it has taken nothing since.
    pub fn has_all_of(&self, other: &Self) -> bool {
        self.saved_of(other).is_some_and(|saved| other.position() == Some(saved))
    }

    /// The history before its own, and the last offset of that which it has.
    fn second(&self) -> Option<(u64, u64)> {
        let left = self.info().number::<u64>("second_repl_offset")?.checked_sub(1)?;
        Some((self.info().history("master_replid2")?, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(id: char, position: u64, second: char, left: i64) -> Seen {
        let whole = |id: char| id.to_string().repeat(40);
        Seen(format!(
            "role:master\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{position}\r\n\
             second_repl_offset:{left}\r\n",
            whole(id),
            whole(second),
        ))
    }

    #[test]
    fn two_that_parted_tell_where() {
        let new = primary('b', 900, 'a', 101);
        for (old, left, saved) in [
            (primary('a', 150, '0', -1), Some(100), None),
            (primary('b', 150, '0', -1), Some(900), None),
            (primary('c', 150, '0', -1), None, None),
            (primary('c', 90, 'a', 81), None, Some(80)),
            (primary('c', 150, 'a', 121), None, None),
        ] {
            assert_eq!((new.left_of(&old), new.saved_of(&old)), (left, saved), "{old:?}");
        }
        assert!(new.has_all_of(&primary('c', 80, 'a', 81)));
        assert!(!new.has_all_of(&primary('c', 81, 'a', 81)));
    }
}
