//! Pages that are exchanged for others under guests and third threads (seed S2).

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[("remap", "memfd"), ("remap-file-pages", "memfd"), ("remap+remap-file-pages", "memfd")])
}
