//! Programs that a step needs and a machine may lack: on Debian root gets them from apt, else it is said what to install.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::process;

/// A program, and the package of Debian's that has it.
pub type Needed = (&'static str, &'static str);

/// Makes sure that all of them are there.
///
/// # Errors
/// One is missing, and this is not root on Debian; or apt does not have it.
pub fn install(needed: &[Needed]) -> Result<()> {
    let missing = needed.iter().filter(|(program, _)| process::find(program).is_none());
    let (programs, packages): (Vec<_>, Vec<_>) = missing.copied().unzip();
    if programs.is_empty() {
        return Ok(());
    }
    let (programs, wanted) = (programs.join("`, `"), packages.join(" "));
    ensure!(
        process::find("apt-get").is_some() && process::is_root(),
        "there is no `{programs}` here\nhint: on Debian, `apt-get install --no-install-recommends {wanted}` as root"
    );
    println!("installing {wanted}, because there is no `{programs}` here");
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(&packages);
        process::check(command.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // The lists of packages may be missing or old: then they are fetched, and it is tried once more.
    install().or_else(|_| {
        process::check(Command::new("apt-get").args(["update", "--quiet=2"]))?;
        install()
    })
}
