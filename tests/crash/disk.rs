//! A disk that forgets.
//!
//! What is written is seen at once and durable at the next sync. When the power
//! goes, each write since then is kept, dropped, or torn: kept in some of its
//! sectors and dropped in the others; and those that overlap may land in any
//! order. Changes of length are kept or dropped, in order, because a file
//! system journals them; writes are not moved across one.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use crate::dice::Dice;

/// The piece of a write that lands whole.
const SECTOR: usize = 512;

/// The disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// What the program sees.
    seen: Vec<u8>,
    pending: Vec<Pending>,
    /// Acts left until the power goes.
    left: Option<usize>,
    dead: bool,
    /// Syncs are acknowledged and not done.
    lies: bool,
}

#[derive(Clone, Debug)]
enum Pending {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Disk {
    /// The power goes at the `acts`-th write, sync or change of length.
    pub(crate) fn cut_after(&self, acts: usize) {
        self.lock().left = Some(acts);
    }

    /// From now on a sync is acknowledged and not done, as by a drive whose
    /// cache has no battery.
    pub(crate) fn lie(&self) {
        self.lock().lies = true;
    }

    /// The power stays.
    pub(crate) fn keep_on(&self) {
        self.lock().left = None;
    }

    /// The power goes now.
    pub(crate) fn cut(&self) {
        self.lock().dead = true;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().dead
    }

    /// The disk after the power came back.
    pub(crate) fn survive(&self, dice: &Dice) -> Self {
        let platter = self.lock();
        let mut image = platter.durable.clone();
        let mut run: Vec<(usize, &[u8])> = Vec::new();
        // How much is lost differs from cut to cut: all of it and nothing of
        // it are as likely as something in between.
        let keep = dice.below(5);
        for pending in &platter.pending {
            match pending {
                Pending::Write { offset, data } => run.push((*offset, data)),
                Pending::Length(length) => {
                    land(&mut image, &mut run, keep, dice);
                    if dice.below(4) < keep {
                        image.resize(*length, 0);
                    }
                }
            }
        }
        land(&mut image, &mut run, keep, dice);
        let platter = Platter { seen: image.clone(), durable: image, lies: platter.lies, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets some of a run of writes land, in any order.
fn land(image: &mut Vec<u8>, run: &mut Vec<(usize, &[u8])>, keep: usize, dice: &Dice) {
    dice.shuffle(run);
    for (offset, data) in run.drain(..) {
        let is_torn = dice.one_in(4);
        if !is_torn && dice.below(4) >= keep {
            continue;
        }
        let mut at = 0;
        while at < data.len() {
            // Sectors are those of the disk, not of the write.
            let end = data.len().min(at + SECTOR - (offset + at) % SECTOR);
            if !is_torn || dice.one_in(2) {
                put(image, offset + at, &data[at..end]);
            }
            at = end;
        }
    }
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

impl Platter {
    /// One more act; refused when the power is gone.
    fn act(&mut self) -> io::Result<()> {
        self.power()?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
            self.dead = *left == 0;
        }
        self.power()
    }

    fn power(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("the disk is small")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        let platter = self.lock();
        platter.power()?;
        Ok(platter.seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.lock();
        platter.power()?;
        let from = place(offset);
        let found = platter.seen.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.lock();
        let length = place(length);
        // The act in which the power goes may have reached the disk.
        let done = platter.act();
        platter.seen.resize(length, 0);
        platter.pending.push(Pending::Length(length));
        done
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.lock();
        platter.act()?;
        if platter.lies {
            return Ok(());
        }
        let pending = std::mem::take(&mut platter.pending);
        for pending in pending {
            match pending {
                Pending::Write { offset, data } => put(&mut platter.durable, offset, &data),
                Pending::Length(length) => platter.durable.resize(length, 0),
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.lock();
        let offset = place(offset);
        let done = platter.act();
        put(&mut platter.seen, offset, data);
        platter.pending.push(Pending::Write { offset, data: data.to_vec() });
        done
    }
}

#[test]
fn the_disk_keeps_what_was_synced_and_may_lose_the_rest() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let disk = Disk::default();
        disk.set_len(4096).expect("written");
        disk.write(0, &[1; 2048]).expect("written");
        disk.sync_data().expect("synced");
        disk.write(1024, &[2; 2048]).expect("written");
        disk.cut();
        assert!(disk.read(0, &mut [0]).is_err() && disk.sync_data().is_err());
        let after = disk.survive(&Dice::new(seed));
        let mut bytes = vec![0; 4096];
        after.read(0, &mut bytes).expect("read");
        assert_eq!(bytes[..1024], [1; 1024], "synced, and not written since");
        assert_eq!(bytes[3072..], [0; 1024], "never written");
        match bytes[1024..3072].iter().filter(|&&byte| byte == 2).count() {
            0 => lost += 1,
            2048 => kept += 1,
            part => torn += usize::from(part % SECTOR == 0),
        }
    }
    assert_eq!(kept + lost + torn, 200, "only whole sectors land");
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}
