//! Pages that get new frames while guests write them, under fork chains and VMA splits too (seed S4).

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[("migrate", "anon"), ("migrate", "memfd"), ("migrate+fork+protect", "anon")])
}
