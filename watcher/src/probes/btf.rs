//! BTF, as far as offsets of members and names of functions go (kernel `Documentation/bpf/btf.rst`).
//!
//! Nothing is kept but where each type begins. The text and the types belong to the caller, who frees them once the
//! offsets are known.

/// Why a text of BTF cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// It does not begin as BTF does.
    #[error("not BTF of this machine's byte order: the magic number is not 0xeb9f")]
    Magic,
    /// It ends too early, or a length in it is wrong.
    #[error("BTF that ends inside a type, at byte {0}")]
    Cut(usize),
    /// A kind of type that this version does not know: all behind it cannot be found.
    #[error("BTF with a type of unknown kind {0}")]
    UnknownKind(u32),
}

/// Where each type of a BTF text lies.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// The place of each type in `types`; type 0 is `void`, and has none.
    places: Vec<u32>,
}

// The kinds that matter here; include/uapi/linux/btf.h.
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const TYPE_TAG: u32 = 18;

/// How often a type may point on to another before it is taken for a loop.
const CHAIN: usize = 32;

/// How many members are looked at for one, those of unnamed members too, before they are taken for a loop: a structure
/// with two unnamed members of its own kind would have no end. The largest of a kernel have some hundreds.
const LOOKS: usize = 4096;

/// One type, as it is written: name, kind and count, and size or next type.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    next: u32,
    /// The place of what follows the common part.
    behind: usize,
}

impl Type {
    fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    fn count(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Whether a member's offset holds a bit field's size in its upper byte.
    fn has_bitfields(self) -> bool {
        self.info >> 31 == 1
    }
}

impl<'a> Btf<'a> {
    /// Finds where each type lies.
    pub fn parse(text: &'a [u8]) -> Result<Btf<'a>, BtfError> {
        let field = |at| number(text, at).ok_or(BtfError::Cut(at));
        if text.get(..2) != Some(&0xeb9f_u16.to_ne_bytes()) {
            return Err(BtfError::Magic);
        }
        let header = field(4)? as usize;
        let part = |at: usize, length: usize| {
            let from = header.checked_add(field(at)? as usize).ok_or(BtfError::Cut(at))?;
            let to = from.checked_add(field(length)? as usize).ok_or(BtfError::Cut(length))?;
            text.get(from..to).ok_or(BtfError::Cut(from))
        };
        let mut btf = Btf { types: part(8, 12)?, strings: part(16, 20)?, places: Vec::new() };
        let mut at = 0;
        while at < btf.types.len() {
            let one = btf.read(at).ok_or(BtfError::Cut(at))?;
            btf.places.push(at as u32);
            at = one.behind
                + length_behind(one.kind(), one.count()).ok_or(BtfError::UnknownKind(one.kind()))?;
        }
        match at == btf.types.len() {
            true => Ok(btf),
            false => Err(BtfError::Cut(at)),
        }
    }

    /// The ids of structures with a name.
    fn structures<'b>(&'b self, name: &'b str) -> impl Iterator<Item = u32> + 'b {
        self.named(STRUCT, name)
    }

    /// Whether the kernel has a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.named(FUNC, name).next().is_some()
    }

    fn named<'b>(&'b self, kind: u32, name: &'b str) -> impl Iterator<Item = u32> + 'b {
        (1..=self.places.len() as u32).filter(move |id| {
            self.get(*id).is_some_and(|t| t.kind() == kind && self.is_named(t.name, name.as_bytes()))
        })
    }

    /// The offset in bytes of a member of a member, of the first structure of this name that has it:
    /// `offset("file", &["f_path", "dentry"])`.
    pub fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        self.structures(structure).find_map(|id| self.offset_in(id, path))
    }

    fn offset_in(&self, id: u32, path: &[&str]) -> Option<u32> {
        let (first, rest) = path.split_first()?;
        let mut looks = LOOKS;
        let (offset, member) = self.member(id, first, 0, &mut looks)?;
        match rest {
            [] => Some(offset),
            rest => offset.checked_add(self.offset_in(self.plain(member)?, rest)?),
        }
    }

    /// The offset and the type of a member, looked for in unnamed members too, as long as there are `looks` left.
    fn member(&self, id: u32, name: &str, depth: usize, looks: &mut usize) -> Option<(u32, u32)> {
        let structure = self.get(id).filter(|t| matches!(t.kind(), STRUCT | UNION) && depth < CHAIN)?;
        for n in 0..structure.count() {
            *looks = looks.checked_sub(1)?;
            let at = structure.behind + n * 12;
            let (named, kind, bits) = (self.word(at)?, self.word(at + 4)?, self.word(at + 8)?);
            let offset = if structure.has_bitfields() { bits & 0xff_ffff } else { bits } / 8;
            if self.is_named(named, name.as_bytes()) {
                return Some((offset, kind));
            }
            if self.is_named(named, b"")
                && let Some((inner, kind)) =
                    self.plain(kind).and_then(|id| self.member(id, name, depth + 1, looks))
            {
                return Some((offset.checked_add(inner)?, kind));
            }
        }
        None
    }

    /// The type behind names and qualifiers.
    fn plain(&self, mut id: u32) -> Option<u32> {
        for _ in 0..CHAIN {
            let one = self.get(id)?;
            match one.kind() {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = one.next,
                _ => return Some(id),
            }
        }
        None
    }

    fn get(&self, id: u32) -> Option<Type> {
        self.read(*self.places.get((id as usize).checked_sub(1)?)? as usize)
    }

    fn read(&self, at: usize) -> Option<Type> {
        Some(Type {
            name: self.word(at)?,
            info: self.word(at + 4)?,
            next: self.word(at + 8)?,
            behind: at + 12,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        number(self.types, at)
    }

    fn is_named(&self, at: u32, name: &[u8]) -> bool {
        let Some(rest) = self.strings.get(at as usize..) else { return false };
        rest.strip_prefix(name).is_some_and(|behind| behind.first() == Some(&0))
    }
}

/// How many bytes follow the common part of a type.
fn length_behind(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forward declarations, names and qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Enumerators and parameters.
        6 | 13 => count * 8,
        // Members, sections' variables, 64-bit enumerators.
        4 | 5 | 15 | 19 => count * 12,
        _ => return None,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Builds a BTF text of types given as words, and names.
    fn btf(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let length = types.len() as u32 * 4;
        let mut text = 0xeb9f_u16.to_ne_bytes().to_vec();
        text.extend([1, 0]);
        for word in [24, 0, length, length, strings.len() as u32] {
            text.extend(word.to_ne_bytes());
        }
        types.iter().for_each(|word| text.extend(word.to_ne_bytes()));
        text.extend(strings);
        text
    }

    /// `struct file { int a; union { struct path p; }; }`, `struct path { long x; void *dentry; }`, with a typedef and
    /// a const between, as newer kernels have it.
    fn sample() -> Vec<u8> {
        let strings = b"\0file\0a\0path\0dentry\0f_path\0work\0";
        let (file, a, path, dentry, f_path, work) = (1, 6, 8, 13, 20, 27);
        let kind = |kind: u32, count: u32| kind << 24 | count;
        let types = [
            // 1: int
            [0, kind(1, 0), 4, 32].as_slice(),
            // 2: struct path { int a; void *dentry (at 8) }
            &[path, kind(4, 2), 16, a, 1, 0, dentry, 3, 64],
            // 3: pointer
            &[0, kind(2, 0), 0],
            // 4: typedef of 2, 5: const of 4
            &[path, kind(8, 0), 2, 0, kind(10, 0), 4],
            // 6: unnamed union { f_path: const path }
            &[0, kind(5, 1), 16, f_path, 5, 0],
            // 7: struct file { int a; unnamed union (at 8) }
            &[file, kind(4, 2), 24, a, 1, 0, 0, 6, 64],
            // 8: function
            &[work, kind(12, 0), 0],
        ]
        .concat();
        btf(&types, strings)
    }

    #[test]
    fn offsets_are_found_through_unnamed_members_names_and_qualifiers() {
        let text = sample();
        let btf = Btf::parse(&text).unwrap();
        assert_eq!(btf.offset("file", &["f_path", "dentry"]), Some(16));
        assert_eq!(btf.offset("file", &["f_path"]), Some(8));
        assert_eq!(btf.offset("file", &["f_pat"]), None);
        assert_eq!(btf.offset("file", &["a", "dentry"]), None);
        assert_eq!(btf.offset("fil", &["a"]), None);
        assert!(btf.has_function("work") && !btf.has_function("wor") && !btf.has_function("file"));
    }

    #[test]
    fn a_type_that_points_at_itself_ends() {
        let typedef = [1, 8 << 24, 1, 0, 4 << 24 | 1, 8, 1, 1, 0];
        let text = btf(&typedef, b"\0x\0");
        assert_eq!(Btf::parse(&text).unwrap().offset("", &["x", "y"]), None);
    }

    #[test]
    fn members_of_the_structure_they_are_in_end_and_so_do_offsets_past_every_address() {
        let twice = [1, 4 << 24 | 2, 8, 0, 1, 0, 0, 1, 0];
        assert_eq!(Btf::parse(&btf(&twice, b"\0x\0")).unwrap().offset("x", &["y"]), None);
        // Each is the one unnamed member of the one before it, at its end; the last has `y`.
        let far = |name, next, member| [name, 4 << 24 | 1, 8, member, next, u32::MAX - 7];
        let types: Vec<u32> =
            (1..16).flat_map(|id| far(u32::from(id == 1), id + 1, if id == 15 { 3 } else { 0 })).collect();
        assert_eq!(Btf::parse(&btf(&types, b"\0x\0y\0")).unwrap().offset("x", &["y"]), None);
    }

    #[test]
    fn what_is_not_btf_is_refused() {
        assert_eq!(Btf::parse(b"").err(), Some(BtfError::Magic));
        let text = sample();
        assert!(matches!(Btf::parse(&text[..40]), Err(BtfError::Cut(_))));
        assert_eq!(Btf::parse(&btf(&[0, 31 << 24, 0], b"\0")).err(), Some(BtfError::UnknownKind(31)));
    }

    #[test]
    fn the_running_kernel_has_the_offsets_of_a_file() {
        let Ok(text) = std::fs::read("/sys/kernel/btf/vmlinux") else { return };
        let btf = Btf::parse(&text).unwrap();
        assert!(btf.offset("file", &["f_path", "dentry"]).is_some());
        assert!(btf.has_function("proc_sys_write"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(cut in 0usize..400, at in 0usize..400, byte: u8) {
            let mut text = sample();
            if let Some(place) = text.get_mut(at) {
                *place = byte;
            }
            text.truncate(cut.max(2));
            if let Ok(btf) = Btf::parse(&text) {
                let _ = btf.offset("file", &["f_path", "dentry"]);
            }
        }
    }
}
