//! Texts compared with files; `UPDATE=1` writes the files anew.

use std::fs;
use std::path::Path;

/// Fails unless `text` is what the file of this name holds.
pub fn same(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/status/testdata").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, text).expect("the test data can be written");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "differs from {}: UPDATE=1 accepts it", path.display());
}
