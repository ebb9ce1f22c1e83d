//! What init makes: files that were not there, whole or not at all, and random texts for them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was not there.
    New,
    /// It was, and is as it was.
    Kept,
}

impl Made {
    /// By whether it was made.
    pub fn file(made: bool) -> Made {
        if made { Made::New } else { Made::Kept }
    }

    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Made::New => "made",
            Made::Kept => "kept",
        }
    }
}

/// Writes a file with this mode, and its directory, if there is no such file; says whether it wrote. Nobody ever sees
/// half of it: it gets its name when it is whole.
///
/// # Errors
/// It cannot be written.
pub fn put(path: &Path, text: &[u8], mode: u32) -> anyhow::Result<bool> {
    let at = || format!("cannot write `{}`", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(at)?;
    }
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let unfinished = path.with_extension(format!("new.{}", std::process::id()));
    let linked = write(&unfinished, text, mode).and_then(|()| fs::hard_link(&unfinished, path));
    let _gone = fs::remove_file(&unfinished);
    match linked {
        Ok(()) => Ok(true),
        // Somebody else was quicker: theirs counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => Ok(false),
        Err(error) => Err(error).with_context(at),
    }
}

fn write(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// 32 bytes of the kernel's.
///
/// # Errors
/// There is no `/dev/urandom`.
pub fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("cannot read `/dev/urandom`")?;
    Ok(bytes)
}

/// In hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As Standard Webhooks spell a secret.
pub fn whsec(bytes: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(bytes))
}
