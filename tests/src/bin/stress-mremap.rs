//! Pages that move while guests write them: every way of mremap, alone and against migration (seed S0).

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[
        ("mremap", "anon"),
        ("mremap", "anon-thp"),
        ("mremap", "memfd"),
        ("mremap-dontunmap", "anon"),
        ("mremap-merge+migrate", "anon"),
    ])
}
