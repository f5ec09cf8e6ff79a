//! Pages that are gathered into huge ones and cut up again.

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[
        ("collapse", "anon-thp"),
        ("collapse", "memfd-thp"),
        ("split", "anon-thp"),
        ("collapse+fork", "anon-thp"),
    ])
}
