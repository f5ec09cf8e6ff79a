use super::*;

fn stanza(name: &str, version: &str, depends: &str, size: u64) -> String {
    format!(
        "Package: {name}\nSource: linux-signed-amd64\nVersion: {version}\nDepends: {depends}\n\
         Filename: pool/main/l/linux/{name}_{version}_amd64.deb\nSize: {size}\nDescription: Linux\n more: of it\n\n"
    )
}

/// Shaped like the archive of 2026: bookworm, backports, sid, and a split kernel that has lost its modules.
fn archive() -> String {
    let split = "kmod, linux-base-7.2.13+deb14-amd64 (= 7.2.13-1), linux-binary-7.2.13+deb14-amd64 (= 7.2.13-1)";
    [
        stanza("linux-image-6.1.0-47-amd64", "6.1.170-1", "kmod", 70_000_000),
        stanza("linux-image-6.1.0-50-amd64", "6.1.176-1", "kmod", 70_305_560),
        stanza("linux-image-6.1.0-50-rt-amd64", "6.1.176-1", "kmod", 70_000_000),
        stanza("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "kmod", 20_000_000),
        stanza("linux-image-6.1.0-50-amd64-dbg", "6.1.176-1", "", 900_000_000),
        stanza("linux-image-6.1.0-50-amd64-unsigned", "6.1.176-1", "kmod", 70_000_000),
        stanza("linux-image-6.12.9+deb12-amd64", "6.12.9-1~bpo12+1", "kmod", 100_000_000),
        stanza("linux-image-6.12.95+deb12-amd64", "6.12.95-1~bpo12+1", "kmod", 106_422_608),
        stanza("linux-image-7.2.13+deb14-amd64", "7.2.13-1", split, 1892),
        stanza("linux-binary-7.2.13+deb14-amd64", "7.2.13-1", "", 14_252_084),
        stanza("linux-modules-7.2.13+deb14-amd64", "7.2.13-1", "", 110_095_088),
        stanza("linux-base-7.2.13+deb14-amd64", "7.2.13-1", "", 469_412),
        stanza("linux-binary-7.0.13+deb13-amd64", "7.0.13-1~bpo13+1", "", 13_647_872),
        "Package: linux-image-6.16.1-amd64\nVersion: 6.16.1-1\n\n".to_owned(),
    ]
    .concat()
}

fn chosen(asked: &str) -> Option<String> {
    let wish = Wish::parse(asked).expect("a version");
    let kernels = kernels(&archive());
    kernels.into_iter().find(|kernel| wish.fits(&kernel.release, &kernel.version)).map(|kernel| kernel.release)
}

#[test]
fn a_series_is_its_newest_plain_kernel() {
    assert_eq!(chosen("6.1").as_deref(), Some("6.1.0-50-amd64"));
    assert_eq!(chosen("v6.1").as_deref(), Some("6.1.0-50-amd64"));
    assert_eq!(chosen("6.1.170").as_deref(), Some("6.1.0-47-amd64"), "by the version of the package");
    assert_eq!(chosen("6.1.17"), None, "numbers are compared as a whole");
    assert_eq!(chosen("6.12").as_deref(), Some("6.12.95+deb12-amd64"), "95 is more than 9");
    assert_eq!(chosen("6.12.9").as_deref(), Some("6.12.9+deb12-amd64"));
    assert_eq!(chosen("6.1.0-47-amd64").as_deref(), Some("6.1.0-47-amd64"));
    assert_eq!(chosen("6.1.0-47").as_deref(), Some("6.1.0-47-amd64"));
    assert_eq!(chosen("6.1.0-50-rt-amd64").as_deref(), Some("6.1.0-50-rt-amd64"), "if it is named");
    assert_eq!(chosen("7.0"), None, "its modules are gone");
    assert_eq!(chosen("6.16"), None, "it cannot be downloaded");
}

#[test]
fn a_split_kernel_is_all_of_its_packages() {
    let all = kernels(&archive());
    let split = all.iter().find(|kernel| kernel.version == "7.2.13-1").expect("complete");
    let names: Vec<(&str, u64)> = split.packages.iter().map(|package| (package.name.as_str(), package.bytes)).collect();
    let expected = [
        ("linux-binary-7.2.13+deb14-amd64", 14_252_084),
        ("linux-modules-7.2.13+deb14-amd64", 110_095_088),
        ("linux-base-7.2.13+deb14-amd64", 469_412),
    ];
    assert_eq!(names, expected);
}

#[test]
fn names_are_versions_or_not() {
    assert_eq!(Wish::parse("6.12"), Some(Wish::Series("6.12".into())));
    assert_eq!(Wish::parse("6.12.95+deb12"), Some(Wish::Release("6.12.95+deb12-amd64".into())));
    for path in ["6", "linux", "./6.1", "6.1/boot", "6.1.deb", "6.1-1_amd64.deb", "a.b", ".", "6.", "", "6.1 ", "../6.1"] {
        assert_eq!(Wish::parse(path), None, "{path:?}");
    }
    let pkgnames =
        "linux-image-amd64\nlinux-image-6.1.0-50-amd64\nlinux-image-6.1.0-50-amd64-dbg\nlinux-headers-6.1.0-50-amd64\n";
    assert_eq!(names(pkgnames), ["linux-image-6.1.0-50-amd64"]);
}

#[test]
fn an_error_says_what_there_is() {
    let kernels = kernels(&archive());
    let (known, near) = instead(&Wish::parse("6.2").expect("a version"), &kernels);
    assert_eq!(known, "6.1, 6.12, 7.2");
    assert!(near.contains("6.1") || near.contains("7.2"), "{near}");
    let (_, near) = instead(&Wish::parse("6.1.0-5-amd64").expect("a version"), &kernels);
    assert!(near.contains("6.1.0-50-amd64"), "{near}");
    assert_eq!(instead(&Wish::parse("6.2").expect("a version"), &[]), ("none".into(), String::new()));
}
