//! The modules that the scenarios need: finds them among a kernel's, reads and decompresses them, and puts each
//! after those it needs. Nothing is installed, so nothing here relies on `modules.dep`.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use lzma_rust2::XzReader;

/// What the scenarios need and Debian builds as modules.
pub const WANTED: [&str; 13] = [
    "dummy",
    "bonding",
    "veth",
    "8021q",
    "bridge",
    "br_netfilter",
    "ip_gre",
    "ip_tunnel",
    "ipip",
    "nf_conntrack",
    "nfnetlink_cttimeout",
    "tun",
    "vxlan",
];

/// A module, read.
pub struct Module {
    /// What the kernel calls it.
    pub name: String,
    /// Its bytes, not compressed, with the signature at their end.
    pub content: Vec<u8>,
}

/// The modules wanted and those they need, each after what it needs. What is not there is built in, or the
/// scenario that needs it will say so.
pub fn load_order(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    list(&directory.join("kernel"), &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order, 0)?;
    }
    Ok(order)
}

/// Adds a module after those it needs.
fn add(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<Module>, depth: u32) -> Result<()> {
    if depth > 16 {
        bail!("the modules that `{name}` needs go round in a circle");
    }
    let Some(path) = files.get(name) else { return Ok(()) };
    if order.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let content = read(path).with_context(|| format!("cannot read {}", path.display()))?;
    for needed in needs(&content) {
        add(&needed, files, order, depth + 1)?;
    }
    order.push(Module { name: name.to_owned(), content });
    Ok(())
}

/// Finds the module files below a directory, by the name the kernel calls them by.
fn list(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if let Some((name, _)) = path.file_name().and_then(|n| n.to_str()?.split_once(".ko")) {
            files.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The content of a module, decompressed: not every kernel can do that itself, and what it needs must be read here.
fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => Ok(bytes),
        Some("xz") => {
            let mut content = Vec::new();
            XzReader::new(bytes.as_slice(), true).read_to_end(&mut content)?;
            Ok(content)
        }
        _ => bail!("it is compressed in a way that is not known here\nhint: `.ko` and `.ko.xz` are"),
    }
}

/// The modules that a module needs: the `depends=` text in its `.modinfo` section, where texts end with a zero.
fn needs(module: &[u8]) -> Vec<String> {
    let mut texts = module.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(b"depends="));
    let text = String::from_utf8_lossy(texts.next().unwrap_or_default()).into_owned();
    text.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "license=GPL\0depends=tls\0", by `xz --check=crc32 --lzma2=dict=1MiB`, as the kernel's own build does it.
    const BY_XZ: &[u8] = b"\xfd7zXZ\x00\x00\x01i\"\xde6\x02\x00!\x01\x10\x00\x00\x00\xa8p\x8e\x86\x01\x00\x17license=GPL\x00depends=tls\x00\x00YH\xba\x1f\x00\x01,\x18\xd3F\xdb\x0a\x90B\x99\x0d\x01\x00\x00\x00\x00\x01YZ";

    /// A kernel's directory with these modules in it.
    fn directory(modules: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let drivers = dir.path().join("kernel/drivers/net");
        fs::create_dir_all(&drivers).unwrap();
        for (file, content) in modules {
            fs::write(drivers.join(file), content).unwrap();
        }
        dir
    }

    #[test]
    fn a_module_comes_after_what_it_needs_and_only_once() {
        let dir = directory(&[
            ("bonding.ko", b"license=GPL\0depends=tls,ip6-tunnel\0name=bonding\0"),
            ("tls.ko", b"depends=\0"),
            ("ip6-tunnel.ko", b"\0depends=tls\0"),
            ("dummy.ko", b"\0depends=\0"),
        ]);
        let order = load_order(dir.path(), &["dummy", "bonding", "veth"]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["dummy", "tls", "ip6_tunnel", "bonding"]);
    }

    #[test]
    fn a_compressed_module_is_read_like_any_other() {
        let dir = directory(&[("bonding.ko.xz", BY_XZ), ("tls.ko", b"depends=\0")]);
        let order = load_order(dir.path(), &["bonding"]).unwrap();
        let names: Vec<&str> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["tls", "bonding"]);
        assert_eq!(order.last().unwrap().content, b"license=GPL\0depends=tls\0");
    }

    #[test]
    fn a_module_that_cannot_be_read_is_an_error_and_not_left_out() {
        for (file, content) in
            [("dummy.ko.xz", &b"no xz"[..]), ("dummy.ko.zst", b""), ("dummy.ko.xz", &BY_XZ[..40])]
        {
            assert!(load_order(directory(&[(file, content)]).path(), &["dummy"]).is_err(), "{file}");
        }
    }
}
