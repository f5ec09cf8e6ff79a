//! Guests that move to another VM and back while they write: by dirty log, by dirty ring, by post-copy; some destinations are killed.

fn main() -> std::process::ExitCode {
    nostale_tests::stress::main(&[
        ("live-migrate-log", "anon"),
        ("live-migrate-ring", "anon"),
        ("live-migrate-post", "anon"),
        ("live-migrate-post", "memfd"),
        ("live-migrate", "anon-thp"),
        ("mremap+live-migrate", "anon"),
    ])
}
