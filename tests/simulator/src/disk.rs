//! One agent's disk: the very bytes that production writes, torn where a crash tears them.
//!
//! Keeps beside the bytes what they replay to, so that checkers can ask at every step what is durable. Knows nothing of
//! what the entries mean.

use consensus::saved::{self, Birth, Damage, Entry, Saved};

use super::chance::Chance;

/// A log and what it holds.
#[derive(Clone, Debug)]
pub struct Disk {
    bytes: Vec<u8>,
    next: u64,
    durable: Saved,
    /// Does it take no more?
    pub full: bool,
}

impl Disk {
    /// A new store, as `quorate agent` makes it on its first start.
    pub fn new(birth: Birth) -> Self {
        Self::heir(birth, Saved::default())
    }

    /// A new store in the place of one that left this, as `quorate agent` makes it.
    pub fn heir(birth: Birth, heritage: Saved) -> Self {
        let durable = Saved { birth: Some(birth), ..heritage };
        let mut disk = Self { bytes: Vec::new(), next: 0, durable, full: false };
        disk.compact();
        disk
    }

    /// What would survive a crash now.
    pub fn durable(&self) -> &Saved {
        &self.durable
    }

    /// Writes and syncs one entry.
    pub fn save(&mut self, entry: Entry) {
        self.bytes.extend(saved::record(self.next, &entry));
        self.next += 1;
        self.durable.apply(entry);
        if self.bytes.len() > saved::COMPACT_BEYOND {
            self.compact();
        }
    }

    /// Begins to write an entry and loses power in the middle.
    pub fn tear(&mut self, entry: &Entry, chance: &mut Chance) {
        let record = saved::record(self.next, entry);
        let kept = chance.below(record.len() as u64) as usize;
        self.bytes.extend(&record[..kept]);
    }

    /// Starts again from the bytes: cuts a torn tail off and reads the rest.
    ///
    /// # Errors
    /// If the log is damaged, which no crash explains.
    pub fn restart(&mut self) -> Result<Saved, Damage> {
        let replayed = saved::replay(&self.bytes)?;
        self.bytes.truncate(replayed.whole);
        self.next = replayed.next;
        Ok(replayed.saved)
    }

    fn compact(&mut self) {
        self.bytes.clear();
        self.next = 0;
        for entry in self.durable.entries() {
            self.bytes.extend(saved::record(self.next, &entry));
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::model::{AcceptorId, Ballot, MeshId, RegisterId};

    #[test]
    fn a_torn_entry_is_gone_and_everything_before_it_is_there() {
        let mut disk = Disk::new(Birth {
            mesh: MeshId(1),
            agent: "a1".parse().expect("a name"),
            acceptor: Some(AcceptorId(1)),
        });
        let promise = |round| Entry::Promised {
            register: RegisterId::App("shop".parse().expect("a name")),
            ballot: Ballot { round, instance: 1 },
        };
        let mut chance = Chance::new(7);
        for round in 1..100 {
            disk.save(promise(round));
            disk.tear(&promise(round + 1), &mut chance);
            let saved = disk.restart().expect("a torn tail is no damage");
            assert_eq!(&saved, disk.durable());
            assert_eq!(saved.registers.values().next().map(|r| r.promised.round), Some(round));
        }
    }
}
