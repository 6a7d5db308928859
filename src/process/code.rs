//! Giving the memory of code back that ran once: an idle runner maps what it started with, of which it needs a fraction.

use std::{ffi::c_void, num::NonZero, ptr::NonNull};

use nix::sys::mman::{MmapAdvise, madvise};

/// Unmaps every page of program code from this process; what still runs is mapped again as it is needed, from the page cache. A runner that waits for
/// work for days has no use for the pages of its start and of its last job. Takes well under a millisecond.
pub fn give_back_code() {
    // Without /proc there is nothing to gain.
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(code) {
        forget(start, length);
    }
}

/// Address and length of a mapping that is code of a file (proc(5), `/proc/pid/maps`): executable, never writable, private.
fn code(line: &str) -> Option<(NonNull<c_void>, NonZero<usize>)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
    let address = NonNull::new(std::ptr::with_exposed_provenance_mut(start))?;
    is_code.then_some((address, NonZero::new(end.checked_sub(start)?)?))
}

#[expect(unsafe_code, reason = "there is no safe way to say which pages of its own a process can do without")]
fn forget(start: NonNull<c_void>, length: NonZero<usize>) {
    // SAFETY: the range is one private, executable, never writable mapping of a file, so none of its pages is changed (relocations are elsewhere):
    // after MADV_DONTNEED an access reads the same bytes from the file (madvise(2)). The file cannot have been replaced, a mapping keeps its inode.
    let _ = unsafe { madvise(start, length.get(), MmapAdvise::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let line = "55d0c0a00000-55d0c0b00000 r-xp 00001000 fe:00 42                         /usr/bin/build-runner";
        assert_eq!(code(line).map(|(start, length)| (start.as_ptr() as usize, length.get())), Some((0x55d0_c0a0_0000, 0x10_0000)));
        for other in [
            "55d0c0a00000-55d0c0b00000 r--p 00001000 fe:00 42 /usr/bin/build-runner",
            "55d0c0a00000-55d0c0b00000 rwxp 00001000 fe:00 42 /usr/bin/build-runner",
            "7ffd1b5f1000-7ffd1b5f3000 r-xp 00000000 00:00 0 [vdso]",
            "7ffd1b5f1000-7ffd1b5f3000 r-xp 00000000 00:00 0",
            "nonsense",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
    }

    #[test]
    fn the_process_goes_on_without_its_code() {
        let before = std::fs::read_to_string("/proc/self/maps").expect("readable").lines().filter_map(code).count();
        assert!(before > 0);
        give_back_code();
        assert_eq!(format!("{:?}", [1, 2, 3]), "[1, 2, 3]");
    }
}
