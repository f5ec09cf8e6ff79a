//! Pages that become copy-on-write, and whose other owner must never see a guest write.

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[("fork", "anon"), ("fork", "anon-thp"), ("fork", "file-private")])
}
