//! Which keys may be declared by what is delivered: by a message, or by a commit of a repository.

use super::Key;

/// Why a key is declared by a file of the host, and never by what is delivered. Whoever delivers is told the value that is in
/// force, and it is read as root: what he may name is what anybody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    /// Its value is a program that the kernel runs, or decides which one it runs.
    Program,
    /// Its value is a secret.
    Secret,
    /// It is a file below `/sys` that holds no setting: of the firmware, of a debugging file system.
    Place,
}

impl Barred {
    /// The words for it, after `which`.
    pub fn as_str(self) -> &'static str {
        match self {
            Barred::Program => "names a program",
            Barred::Secret => "is a secret",
            Barred::Place => {
                "is outside of /sys/block, /sys/class, /sys/devices, /sys/fs/cgroup and /sys/kernel/mm, or leads out of them"
            }
        }
    }
}

/// Where settings are. Beside them stand what the firmware keeps (`firmware/efi/efivars`, `firmware/qemu_fw_cfg`) and whole file
/// systems for debugging (`kernel/debug`, `kernel/tracing`, `kernel/security`).
const TREES: [&str; 5] =
    ["/sys/block/", "/sys/class/", "/sys/devices/", "/sys/fs/cgroup/", "/sys/kernel/mm/"];

/// Links that lead out of these trees: to the driver of a device, its module, its bus with all the drivers on it, and what the
/// firmware says of it (drivers/base/core.c, drivers/base/bus.c, drivers/base/dd.c, drivers/iommu/iommu.c). And what in them is no
/// setting and for root alone: serial numbers (drivers/firmware/dmi-id.c), the memory of a PCI device and what its maker wrote
/// into it (drivers/pci/pci-sysfs.c, drivers/pci/vpd.c), passwords of iSCSI and keys of Thunderbolt
/// (drivers/scsi/scsi_transport_iscsi.c, drivers/thunderbolt/switch.c).
const WAYS_OUT: [&str; 12] = [
    "driver",
    "drivers",
    "module",
    "subsystem",
    "of_node",
    "iommu_group",
    "dmi",
    "rom",
    "vpd",
    "password",
    "password_in",
    "key",
];

impl Key {
    /// Why what is delivered may not declare it; none where it may.
    pub fn barred(&self) -> Option<Barred> {
        if self.names_program() {
            return Some(Barred::Program);
        }
        if self.is_secret() {
            return Some(Barred::Secret);
        }
        let (Key::Sysfs { path, .. } | Key::Pressure { file: path, .. }) = self else { return None };
        let is_setting = TREES.iter().any(|tree| path.starts_with(tree)) || path.starts_with("/proc/");
        let of_pci = |name: &str| {
            name.strip_prefix("resource").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()))
        };
        let leads_out = path.split('/').any(|component| WAYS_OUT.contains(&component) || of_pci(component));
        (!is_setting || leads_out).then_some(Barred::Place)
    }
}
