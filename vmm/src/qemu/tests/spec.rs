use crate::qemu::{
    Accel, MachineSpec, QemuError,
    spec::{Descriptors, Start, arguments},
};

fn spec() -> MachineSpec {
    MachineSpec { append: vec!["a=1".into(), "b".into()], ..MachineSpec::new("/k,1/vmlinux", "/k/initramfs", Accel::Tcg, "/w") }
}

fn descriptors() -> Descriptors {
    Descriptors { qmp: 3, channel: 4, gdb: 5, console: 6, memory: vec![7, 8] }
}

fn words(spec: &MachineSpec, start: Start<'_>) -> Vec<String> {
    let shape = spec.shape().unwrap();
    arguments(&shape, &descriptors(), start).into_iter().map(|word| word.into_string().unwrap()).collect()
}

/// The values of an option.
fn values<'a>(words: &'a [String], option: &str) -> Vec<&'a str> {
    words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn a_machine_that_boots() {
    let spec = spec();
    let words = words(&spec, Start::Kernel(&spec));
    assert_eq!(values(&words, "-accel"), ["tcg,thread=multi"]);
    assert!(values(&words, "-cpu")[0].starts_with("EPYC,+svm,+npt,-"));
    assert_eq!(values(&words, "-m"), ["2147483648B"]);
    assert_eq!(values(&words, "-smp"), ["cpus=2,sockets=2,cores=1,threads=1"]);
    let memory =
        |node: u32, fd: u32| format!("memory-backend-file,id=ram{node},size=1073741824,mem-path=/proc/self/fd/{fd},share=on");
    assert_eq!(values(&words, "-object"), [memory(0, 7), memory(1, 8)]);
    assert_eq!(values(&words, "-numa"), ["node,nodeid=0,memdev=ram0,cpus=0-0", "node,nodeid=1,memdev=ram1,cpus=1-1"]);
    assert_eq!(
        values(&words, "-chardev"),
        [
            "file,id=console,path=/proc/self/fd/6,append=on",
            "socket,id=channel,fd=4",
            "socket,id=qmp,fd=3",
            "socket,id=gdb,fd=5,server=on,wait=off",
        ]
    );
    assert_eq!(values(&words, "-serial"), ["chardev:console", "chardev:channel"], "in this order: ttyS0, ttyS1");
    assert_eq!(values(&words, "-gdb"), ["chardev:gdb"]);
    assert_eq!(values(&words, "-kernel"), ["/k,1/vmlinux"], "not a list of options: a comma stays");
    assert_eq!(values(&words, "-initrd"), ["/k/initramfs"]);
    let append = values(&words, "-append")[0];
    for word in ["console=ttyS0", "nokaslr", "panic=-1", "tsc=reliable", "a=1", "b"] {
        assert!(append.split(' ').any(|other| other == word), "{word} in {append}");
    }
    assert!(append.ends_with(" a=1 b"), "what the caller says comes last, and so it wins: {append}");
    for flag in ["-nodefaults", "-no-reboot"] {
        assert!(words.iter().any(|word| word == flag), "{flag}");
    }
    assert!(values(&words, "-incoming").is_empty());
}

#[test]
fn a_restored_machine_is_the_same_hardware_with_memory_of_its_own() {
    let spec = spec();
    let (booted, restored) = (words(&spec, Start::Kernel(&spec)), words(&spec, Start::Saved));
    for option in ["-machine", "-accel", "-cpu", "-m", "-smp", "-numa", "-chardev", "-serial"] {
        assert_eq!(values(&booted, option), values(&restored, option), "{option}");
    }
    assert!(values(&restored, "-object").iter().all(|object| object.ends_with(",share=off")), "copy on write");
    assert_eq!(values(&restored, "-incoming"), ["defer"]);
    assert!(values(&restored, "-kernel").is_empty());
}

#[test]
fn kvm_is_the_host_and_needs_no_excuses() {
    let spec = MachineSpec { accel: Accel::Kvm, ..spec() };
    let words = words(&spec, Start::Kernel(&spec));
    assert_eq!((values(&words, "-accel"), values(&words, "-cpu")), (vec!["kvm"], vec!["host"]));
    assert!(!values(&words, "-append")[0].contains("tsc="), "the host's clock is as good as the host");
}

#[test]
fn nodes_share_what_there_is() {
    let mut spec = MachineSpec { memory_bytes: (1 << 30) + (1 << 20), cpus: 4, nodes: 3, ..spec() };
    let shape = spec.shape().unwrap();
    let nodes: Vec<_> = shape.nodes.iter().map(|node| (node.memory_bytes >> 20, node.cpus.clone())).collect();
    assert_eq!(nodes, [(342, 0..2), (342, 2..3), (340, 3..4)], "whole portions of 2 MiB, the remainder to the first");

    spec.cpus = 1;
    let words = words(&spec, Start::Saved);
    assert_eq!(values(&words, "-numa")[0], "node,nodeid=0,memdev=ram0,cpus=0-0");
    assert!(values(&words, "-numa").len() >= 2 && !values(&words, "-numa")[1].contains("cpus"), "memory only");
    assert_eq!(values(&words, "-smp"), ["cpus=1,sockets=1,cores=1,threads=1"]);
}

#[test]
fn impossible_machines_are_refused() {
    for (broken, why) in [
        (MachineSpec { cpus: 0, ..spec() }, "vCPUs"),
        (MachineSpec { cpus: 256, ..spec() }, "vCPUs"),
        (MachineSpec { nodes: 0, ..spec() }, "nodes"),
        (MachineSpec { nodes: 65, ..spec() }, "nodes"),
        (MachineSpec { memory_bytes: 1 << 20, ..spec() }, "memory"),
        (MachineSpec { memory_bytes: 64 << 20, nodes: 64, ..spec() }, "2 MiB"),
    ] {
        match broken.shape() {
            Err(QemuError::Spec { why: said }) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}
