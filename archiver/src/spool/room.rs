//! Room on the volume, and what is kept in reserve for what cannot wait: sealing, delivery, and giving room back.
//!
//! A tenth of the filesystem is kept free, at most 1 GiB; pages that the file has free count as free. Below twice that the
//! content of delivered messages is dropped before its time; below it no message is taken, and everything else goes on.

use std::{io, path::Path, sync::Arc};

/// The most that is kept in reserve.
const MOST: u64 = 1 << 30;

/// A filesystem, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// All of it.
    pub size: u64,
    /// What may be written yet.
    pub free: u64,
}

/// How to look at the volume of a folder.
pub type Look = Arc<dyn Fn(&Path) -> io::Result<Volume> + Send + Sync>;

/// Asks the system.
pub fn statvfs() -> Look {
    Arc::new(|folder| {
        let volume = rustix::fs::statvfs(folder)?;
        Ok(Volume { size: volume.f_blocks * volume.f_frsize, free: volume.f_bavail * volume.f_frsize })
    })
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// As much as is needed.
    #[default]
    Enough,
    /// Less than twice the reserve: delivered content is dropped early.
    Little,
    /// Less than the reserve: nothing is taken.
    None,
}

/// What is known of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// How much that is.
    pub room: Room,
    /// Bytes that may be written yet, those in free pages included.
    pub free: u64,
}

/// What is kept in reserve of a filesystem of `size` bytes.
pub fn reserve(size: u64) -> u64 {
    (size / 10).min(MOST)
}

/// The space of a `volume`, with `pages` bytes free inside the file.
pub fn space(volume: Volume, pages: u64) -> Space {
    let (free, reserve) = (volume.free + pages, reserve(volume.size));
    let room = match free {
        free if free < reserve => Room::None,
        free if free < 2 * reserve => Room::Little,
        _ => Room::Enough,
    };
    Space { room, free }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_tenth_is_kept_in_reserve_and_a_gibibyte_at_most() {
        assert_eq!(reserve(100 * MIB), 10 * MIB);
        assert_eq!(reserve(20 << 30), 1 << 30);
    }

    #[test]
    fn room_gets_little_below_twice_the_reserve_and_none_below_it() {
        let room = |free| space(Volume { size: 100 * MIB, free }, 0).room;
        assert_eq!(
            [20 * MIB, 20 * MIB - 1, 10 * MIB, 10 * MIB - 1].map(room),
            [Room::Enough, Room::Little, Room::Little, Room::None]
        );
    }

    #[test]
    fn free_pages_of_the_file_are_room() {
        let volume = Volume { size: 100 * MIB, free: 5 * MIB };
        assert_eq!(space(volume, 15 * MIB), Space { room: Room::Enough, free: 20 * MIB });
    }
}
