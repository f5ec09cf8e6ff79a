use std::time::{Duration, SystemTime};

use super::*;
use crate::kernels::{image, modinfo};

/// A cache that holds the Debian kernels `(release, version)`.
fn cache(kernels: &[(&str, &str)]) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cache = Cache::at(dir.path().join("cache"));
    for (release, version) in kernels {
        let fill = |dir: &Path| {
            let modules = dir.join("lib/modules").join(release).join("kernel");
            fs::create_dir_all(&modules).and_then(|()| fs::create_dir(dir.join("boot"))).expect("made");
            fs::write(modules.join("kvm_amd.ko"), modinfo::fake(&["depends="])).expect("written");
            fs::write(dir.join("boot").join(format!("vmlinuz-{release}")), image::fake(release)).expect("written");
            fs::write(dir.join(ORIGIN), format!("Debian linux-image-{release} {version}")).map_err(io_at("write", dir))
        };
        cache.add(&format!("{PREFIX}{release}_{version}"), fill).expect("made");
    }
    (dir, cache)
}

const OLD: (&str, &str) = ("6.1.0-47-amd64", "6.1.170-1");
const NEW: (&str, &str) = ("6.1.0-50-amd64", "6.1.176-1");

fn found(cache: &Cache, asked: &str) -> (Result<Kernel, KernelError>, Vec<String>) {
    let mut said = Vec::new();
    // A machine without apt sources cannot fetch, on whatever machine this test runs.
    let etc = cache.dir().join("no-etc");
    let wish = Wish::parse(asked).expect("a version");
    let kernel = find_with(&wish, cache, &etc, &mut |line| said.push(line.to_owned()));
    (kernel, said)
}

#[test]
fn a_release_in_the_cache_needs_nobody() {
    let (_dir, cache) = cache(&[OLD, NEW]);
    let (kernel, said) = found(&cache, "6.1.0-47-amd64");
    let kernel = kernel.expect("cached");
    assert_eq!((kernel.release.as_str(), kernel.origin.as_str()), (OLD.0, "Debian linux-image-6.1.0-47-amd64 6.1.170-1"));
    assert_eq!(said, ["6.1.0-47-amd64: Debian linux-image-6.1.0-47-amd64 6.1.170-1"], "says which one, and only that");
}

#[test]
fn without_the_archive_the_newest_in_the_cache_is_taken_with_a_note() {
    let (_dir, cache) = cache(&[OLD, NEW]);
    for (asked, release) in [("6.1", NEW.0), ("6.1.170", OLD.0)] {
        let (kernel, said) = found(&cache, asked);
        assert_eq!(kernel.expect("cached").release, release);
        assert!(said[0].contains("using the kernel in the cache"), "{said:?}");
    }
    let (kernel, _) = found(&cache, "6.12");
    assert!(matches!(kernel, Err(KernelError::NoDebianSource { .. } | KernelError::NoApt { .. })), "{kernel:?}");
}

#[test]
fn what_the_lists_said_holds_as_long_as_they_are_fresh() {
    let (_dir, cache) = cache(&[OLD, NEW]);
    let apt = cache.apt();
    fs::create_dir_all(apt.join("resolved")).expect("made");
    let stamp = fs::File::create(apt.join("updated")).expect("written");
    fs::write(apt.join("resolved/6.1"), "debian-6.1.0-47-amd64_6.1.170-1").expect("written");
    let (kernel, said) = found(&cache, "6.1");
    assert_eq!((kernel.expect("cached").release.as_str(), said.len()), (OLD.0, 1), "the archive had no newer one: {said:?}");
    // Lists that were fetched later may say something else.
    let note = fs::OpenOptions::new().write(true).open(apt.join("resolved/6.1")).expect("there");
    note.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("ours");
    assert_eq!(found(&cache, "6.1").0.expect("cached").release, NEW.0);
    // And so may those that are to be fetched.
    note.set_modified(SystemTime::now()).expect("ours");
    stamp.set_modified(SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60)).expect("ours");
    assert_eq!(found(&cache, "6.1").0.expect("cached").release, NEW.0);
}
