//! The folder for what would be lost. A file is there under its name only once it is whole and on disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The folder.
pub struct Folder(PathBuf);

/// A file of it that is being written.
pub struct Half {
    file: BufWriter<File>,
    half: PathBuf,
    path: PathBuf,
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("cannot keep it in `{}`: {error}", path.display())
}

impl Folder {
    /// Makes it, if it is not there yet: for nobody else, since data go there.
    pub fn make(path: &Path) -> Result<Self, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| cannot(path, &error))?;
        Ok(Self(path.to_owned()))
    }

    /// Begins a file, or begins it anew.
    pub fn file(&self, name: &str) -> Result<Half, String> {
        let (path, half) = (self.0.join(name), self.0.join(format!("{name}.half")));
        let file = File::create(&half).map_err(|error| cannot(&half, &error))?;
        Ok(Half { file: BufWriter::new(file), half, path })
    }

    /// Says what is in it.
    pub fn note(&self, text: &str) -> Result<(), String> {
        let mut file = self.file("README")?;
        writeln!(file, "{text}").map_err(|error| cannot(&self.0, &error))?;
        file.finish()
    }

    /// Makes its names durable; one that holds nothing is removed.
    pub fn done(&self) -> Result<(), String> {
        // Fails where there is something in it.
        let gone = fs::remove_dir(&self.0).is_ok();
        let above = self.0.parent().unwrap_or(Path::new("/"));
        let own = (!gone).then_some(&*self.0);
        let synced = own.into_iter().chain([above]).try_for_each(|it| File::open(it)?.sync_all());
        synced.map_err(|error| cannot(&self.0, &error))
    }
}

impl Half {
    /// Whole: makes it durable, and gives it its name.
    pub fn finish(self) -> Result<(), String> {
        let Self { file, half, path } = self;
        let done = file.into_inner().map_err(io::IntoInnerError::into_error);
        let done = done.and_then(|file| file.sync_all()).and_then(|()| fs::rename(half, &path));
        done.map_err(|error| cannot(&path, &error))
    }

    /// There was nothing to keep.
    pub fn discard(self) -> Result<(), String> {
        fs::remove_file(&self.half).map_err(|error| cannot(&self.half, &error))
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
