//! The certificate we make for ourselves.
//!
//! One that is there is never replaced: senders may have pinned it.

use std::{
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, DnType, KeyPair};

use super::TlsError;

/// A certificate of our own.
pub struct Own {
    /// Its file, PEM.
    pub certificate: PathBuf,
    /// The file of its key, PEM.
    pub key: PathBuf,
    /// Whether it was made just now.
    pub made: bool,
}

/// The certificate of our own in a state directory; where there is none, it is made, for these names besides the
/// host's own.
///
/// # Errors
/// It cannot be made or kept, or its key is gone.
pub fn make_own(state_dir: &Path, listen: IpAddr, further: &[String]) -> Result<Own, TlsError> {
    let dir = state_dir.join("tls");
    let (certificate, key) = (dir.join("certificate.pem"), dir.join("key.pem"));
    // The certificate is written last: where it is, the pair is whole.
    let made = !certificate.exists();
    if made {
        make(
            &dir,
            &certificate,
            &key,
            &names(rustix::system::uname().nodename().to_str().ok(), listen, further),
        )?;
    }
    if !key.exists() {
        return Err(TlsError::NoKey(key));
    }
    Ok(Own { certificate, key, made })
}

/// Makes a key and a certificate for these names, and keeps them.
fn make(dir: &Path, certificate: &Path, key: &Path, names: &[String]) -> Result<(), TlsError> {
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unwritable { path, source }
    };
    // No CA: it can vouch for this listener and for nothing else. rcgen's own dates, 1975 to 4096, are kept: who
    // trusts this certificate has fetched it by hand, and an end would only break deploys on some night.
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "driftd");
    let pair = KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritable(dir))?;
    write(key, &pair.serialize_pem(), 0o600).map_err(unwritable(key))?;
    write(certificate, &made.pem(), 0o644).map_err(unwritable(certificate))?;
    tracing::info!("made a certificate for {} in `{}`", names.join(", "), certificate.display());
    Ok(())
}

/// Writes a file as a whole or not at all, never readable by more than the mode says.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let unfinished = path.with_extension("pem.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

/// What the certificate is valid for: the host by its name, by loopback, where it listens, and what else was asked for.
pub(super) fn names(host: Option<&str>, listen: IpAddr, further: &[String]) -> Vec<String> {
    let is_dns = |name: &&str| {
        !name.is_empty()
            && name.len() < 254
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    };
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let mut names: Vec<String> = host.filter(is_dns).into_iter().map(str::to_owned).collect();
    for name in ["localhost".to_owned()]
        .into_iter()
        .chain(loopback.map(|ip| ip.to_string()))
        .chain([listen.to_string()])
        .chain(further.iter().cloned())
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
