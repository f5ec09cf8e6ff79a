//! Debian's kernels, fetched with apt into the cache.

mod client;
mod index;
mod sources;
mod version;

use std::fs;
use std::path::Path;

pub(super) use index::Wish;

use super::cache::Cache;
use super::error::{KernelError, io_at};
use super::{Kernel, deb};
use client::{Client, Failure};
use index::Available;

/// Begins the names of the kernels that came from the archive.
const PREFIX: &str = "debian-";
/// In each such kernel: what to tell people about it.
const ORIGIN: &str = "origin";

/// The kernel that was asked for: from the cache if that is known to be the newest, else from the archive.
pub(super) fn find(wish: &Wish, cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    find_with(wish, cache, Path::new("/etc/apt"), say)
}

fn find_with(wish: &Wish, cache: &Cache, etc: &Path, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    let cached = newest_cached(wish, cache);
    if let Some(key) = settled(wish, cache, cached.as_deref()) {
        return open(wish, cache, &key, say);
    }
    match fetch(wish, cache, etc, say) {
        Ok(kernel) => Ok(kernel),
        Err(error) => match cached {
            // A kernel of yesterday is better than none.
            Some(key) => {
                say(&format!("{error}; using the kernel in the cache"));
                open(wish, cache, &key, say)
            }
            None => Err(error),
        },
    }
}

/// The key of the kernel to take without asking apt.
fn settled(wish: &Wish, cache: &Cache, cached: Option<&str>) -> Option<String> {
    match wish {
        Wish::Release(_) => cached.map(str::to_owned),
        Wish::Series(series) => {
            // What the lists said of this series, as long as they are fresh.
            let dir = cache.apt();
            let note = dir.join("resolved").join(series);
            let written = fs::metadata(&note).and_then(|data| data.modified()).ok()?;
            let age = written.elapsed().unwrap_or_default();
            let key = fs::read_to_string(&note).ok().filter(|key| cache.entry(key).is_some())?;
            (client::is_fresh(&dir) && client::age(&dir).is_some_and(|lists| age <= lists)).then_some(key)
        }
    }
}

/// The newest kernel in the cache that fits.
fn newest_cached(wish: &Wish, cache: &Cache) -> Option<String> {
    let keys = cache.keys();
    let mut fitting: Vec<((&str, &str), &String)> = keys
        .iter()
        .filter_map(|key| Some((key.strip_prefix(PREFIX)?.split_once('_')?, key)))
        .filter(|((release, version), _)| wish.fits(release, version))
        .collect();
    fitting.sort_by(|(a, _), (b, _)| index::newest_first(*a, *b));
    fitting.first().map(|(_, key)| (*key).clone())
}

fn open(wish: &Wish, cache: &Cache, key: &str, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    let dir = cache.entry(key).unwrap_or_else(|| cache.dir().join(key));
    let kernel = deb::unpacked(wish.text(), &dir, &dir)?;
    let origin = fs::read_to_string(dir.join(ORIGIN)).map_err(io_at("read", &dir.join(ORIGIN)))?;
    say(&format!("{}: {origin}", wish.text()));
    Ok(Kernel { origin, ..kernel })
}

/// Asks the archive, with the lists as fresh as they should be.
fn fetch(wish: &Wish, cache: &Cache, etc: &Path, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
    let asked = || wish.text().to_owned();
    let failed = |failure| match failure {
        Failure::Missing(tool) => KernelError::NoApt { asked: asked(), tool },
        Failure::Said { command, said } => KernelError::Apt { asked: asked(), command, said },
        Failure::Other(error) => error,
    };
    let sources = sources::private(etc);
    let _lock = cache.lock(say)?;
    let dir = cache.apt();
    let client = match sources {
        Some(sources) => Client::new(&dir, &sources).map_err(failed)?,
        None if client::is_installed() => return Err(KernelError::NoDebianSource { asked: asked() }),
        None => return Err(KernelError::NoApt { asked: asked(), tool: "apt-get" }),
    };
    let mut updated = client.update(false, say).map_err(failed)?;
    loop {
        let kernels = client.kernels().map_err(failed)?;
        let Some(kernel) = kernels.iter().find(|kernel| wish.fits(&kernel.release, &kernel.version)) else {
            let (known, near) = index::instead(wish, &kernels);
            return Err(KernelError::NoSuchVersion { asked: asked(), known, near });
        };
        match bring(&client, kernel, cache, say) {
            Ok(key) => {
                if let Wish::Series(series) = wish {
                    // Only saves asking apt the next time.
                    let _ = fs::write(dir.join("resolved").join(series), &key);
                }
                return open(wish, cache, &key, say);
            }
            // The archive may have replaced that package since the lists were fetched.
            Err(Failure::Said { .. }) if !updated => updated = client.update(true, say).map_err(failed)?,
            Err(failure) => return Err(failed(failure)),
        }
    }
}

/// Gets `kernel` into the cache.
fn bring(client: &Client, kernel: &Available, cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<String, Failure> {
    let Available { release, version, packages } = kernel;
    let key = format!("{PREFIX}{release}_{version}");
    if cache.entry(&key).is_some() {
        return Ok(key);
    }
    let main = packages.first().map_or(release.as_str(), |package| package.name.as_str());
    let mib = packages.iter().map(|package| package.bytes).sum::<u64>() >> 20;
    say(&format!("fetching {main} {version}, {mib} MiB"));
    let download = cache.temporary().map_err(Failure::Other)?;
    let files = client.download(kernel, download.path())?;
    say(&format!("unpacking {main}"));
    let fill = |dir: &Path| {
        deb::unpack(&files, dir)?;
        // Complete, or not in the cache at all.
        deb::unpacked(release, dir, dir)?;
        let origin = dir.join(ORIGIN);
        fs::write(&origin, format!("Debian {main} {version}")).map_err(io_at("write", &origin))
    };
    cache.add(&key, fill).map_err(Failure::Other)?;
    Ok(key)
}

#[cfg(test)]
mod tests;
