//! Lines on disk: two files, each at most so large, written by a thread of their own.
//!
//! The thread keeps a slow or failing disk away from everything else: what it cannot take in time is dropped and counted.
//! A line torn by a crash, or by anything else, is skipped, counted, and costs no other line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::lock;

/// The most bytes of one file; two are kept.
pub const FILE_LIMIT: u64 = 8 * 1024 * 1024;
/// The most bytes of one line: an agreed state with two certificates takes a tenth of it.
const LINE_LIMIT: usize = 4 * 1024 * 1024;
/// How many lines may wait for the disk.
const WAITING: usize = 256;

/// The two files of a history.
#[derive(Clone)]
pub struct Files {
    current: PathBuf,
    before: PathBuf,
    garbled: Arc<AtomicU64>,
}

impl Files {
    /// The history in this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            current: folder.join("history.jsonl"),
            before: folder.join("history.1.jsonl"),
            garbled: Arc::default(),
        }
    }

    /// Shows every line, oldest first; those that `take` cannot use are counted in place of what was counted before.
    pub fn read(&self, mut take: impl FnMut(&[u8]) -> bool) {
        let mut garbled = 0;
        for path in [&self.before, &self.current] {
            if let Ok(file) = File::open(path) {
                garbled += read_lines(file, &mut take);
            }
        }
        self.garbled.store(garbled, Ordering::Relaxed);
    }

    /// How many lines could not be used when the files were last read.
    pub fn garbled(&self) -> u64 {
        self.garbled.load(Ordering::Relaxed)
    }
}

fn read_lines(file: File, take: &mut impl FnMut(&[u8]) -> bool) -> u64 {
    let mut garbled = 0;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(LINE_LIMIT as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return garbled,
            Ok(_) => {}
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if line.is_empty() {
            continue;
        }
        if !take(&line) {
            garbled += 1;
        }
        if !whole && line.len() == LINE_LIMIT && skip_line(&mut reader).is_err() {
            return garbled;
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let (found, length) = match reader.fill_buf()? {
            [] => return Ok(()),
            bytes => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (true, at + 1),
                None => (false, bytes.len()),
            },
        };
        reader.consume(length);
        if found {
            return Ok(());
        }
    }
}

/// A line, and whether it should be on the disk before the next one.
type Line = (Vec<u8>, bool);

/// The thread that writes.
pub struct Writer {
    lines: Mutex<Option<SyncSender<Line>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    missing: Arc<AtomicU64>,
}

impl Writer {
    /// Starts it. A new file begins with `snapshot`, so that what holds now is never turned out with the old one.
    pub fn spawn(
        files: Files,
        limit: u64,
        snapshot: impl Fn() -> Vec<Vec<u8>> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let missing = Arc::<AtomicU64>::default();
        let mut pen = Pen { files, limit, open: None, missing: missing.clone(), failing: false };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || pen.run(&receiver, snapshot))
            .ok();
        Self { lines: Mutex::new(Some(sender)), thread: Mutex::new(thread), missing }
    }

    /// Hands a line over; never waits.
    pub fn write(&self, line: Vec<u8>, sync: bool) {
        let lines = lock(&self.lines);
        match lines.as_ref().map(|lines| lines.try_send((line, sync))) {
            Some(Ok(())) => {}
            None | Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) => self.lost(1),
        }
    }

    /// Counts lines that were never seen.
    pub fn lost(&self, lines: u64) {
        self.missing.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many lines are missing from the files.
    pub fn missing(&self) -> u64 {
        self.missing.load(Ordering::Relaxed)
    }

    /// Writes what waits, and ends.
    pub fn close(&self) {
        drop(lock(&self.lines).take());
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

struct Pen {
    files: Files,
    limit: u64,
    open: Option<(File, u64)>,
    missing: Arc<AtomicU64>,
    failing: bool,
}

impl Pen {
    fn run(&mut self, lines: &Receiver<Line>, snapshot: impl Fn() -> Vec<Vec<u8>>) {
        while let Ok((line, sync)) = lines.recv() {
            match self.write(&line, sync, &snapshot) {
                Ok(()) => self.failing = false,
                Err(error) => {
                    self.open = None;
                    self.missing.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.failing, true) {
                        let path = self.files.current.display();
                        tracing::warn!("cannot write `{path}`, the history has a hole: {error}");
                    }
                }
            }
        }
    }

    fn write(
        &mut self,
        line: &[u8],
        sync: bool,
        snapshot: &impl Fn() -> Vec<Vec<u8>>,
    ) -> io::Result<()> {
        let (_, size) = self.open()?;
        if *size > 0 && *size + line.len() as u64 >= self.limit {
            self.open = None;
            fs::rename(&self.files.current, &self.files.before)?;
            for line in snapshot() {
                self.append(&line)?;
            }
        }
        self.append(line)?;
        let (file, _) = self.open()?;
        if sync { file.sync_data() } else { Ok(()) }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let (file, size) = self.open()?;
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend(line);
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        *size += bytes.len() as u64;
        Ok(())
    }

    /// Opens the file; a torn last line is ended, so that it spoils no other.
    fn open(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&self.files.current)?;
            let mut size = file.seek(SeekFrom::End(0))?;
            if 0 < size {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    size += 1;
                }
            }
            self.open = Some((file, size));
        }
        Ok(self.open.as_mut().expect("opened just now"))
    }
}
