//! What a kernel developer writes out of habit, and how it is written here.

/// How a function, macro or constant of the kernel is written here.
pub(crate) fn instead(word: &str) -> Option<&'static str> {
    let found = |word: &str| CALLS.iter().find(|(words, _)| words.contains(&word)).map(|(_, advice)| *advice);
    found(word).or_else(|| found(&plain(word)))
}

/// How a declaration of C is written here, by the word that it begins with.
pub(crate) fn declaration(word: &str) -> Option<&'static str> {
    DECLARATIONS.iter().find(|(words, _)| words.contains(&word)).map(|(_, advice)| *advice)
}

/// The name without what makes no difference in a model: `raw_spin_lock_irqsave` is `spin_lock`.
fn plain(word: &str) -> String {
    const VARIANTS: [&str; 8] = ["_irqsave", "_irqrestore", "_irq", "_bh", "_nested", "_interruptible", "_killable", "_once"];
    let lower = word.to_ascii_lowercase();
    let lower = lower.strip_prefix("raw_").or_else(|| lower.strip_prefix("vm_")).unwrap_or(&lower);
    let lower = VARIANTS.iter().find_map(|variant| lower.strip_suffix(variant)).unwrap_or(lower);
    match lower.strip_prefix("atomic64_").or_else(|| lower.strip_prefix("atomic_long_")) {
        Some(operation) => format!("atomic_{operation}"),
        None => lower.to_owned(),
    }
}

/// `done = 1`, `done == 0`
pub(crate) const TRUTH: &str = "a flag is `true` or `false`";

const CALLS: &[(&[&str], &str)] = &[
    (&["NULL", "nullptr"], "write `none`"),
    // Locks.
    (&["spin_lock", "mutex_lock"], "write `lock l`"),
    (&["spin_unlock", "mutex_unlock"], "write `unlock l`"),
    (&["spin_trylock", "mutex_trylock"], "write `trylock(l)`"),
    (&["down_read"], "write `read_lock l`"),
    (&["up_read"], "write `read_unlock l`"),
    (&["down_read_trylock"], "write `read_trylock(l)`"),
    (&["down_write"], "write `write_lock l`"),
    (&["up_write"], "write `write_unlock l`"),
    (&["down_write_trylock"], "write `write_trylock(l)`"),
    (&["downgrade_write"], "write `downgrade l`"),
    (&["mmap_read_lock"], "declare `rwsem mmap_lock`, and write `read_lock mmap_lock`"),
    (&["mmap_read_unlock"], "declare `rwsem mmap_lock`, and write `read_unlock mmap_lock`"),
    (&["mmap_write_lock"], "declare `rwsem mmap_lock`, and write `write_lock mmap_lock`"),
    (&["mmap_write_unlock"], "declare `rwsem mmap_lock`, and write `write_unlock mmap_lock`"),
    (&["spin_is_locked", "mutex_is_locked", "rwsem_is_locked"], "write `held(l)`"),
    (&["lockdep_assert_held"], "write `assert holds(l)`"),
    // Memory.
    (&["READ_ONCE"], "a plain load is one here: `let r = x`"),
    (&["WRITE_ONCE"], "a plain store is one here: `x = v`"),
    (&["smp_store_release", "rcu_assign_pointer"], "write `store_release(x, v)`"),
    (&["smp_load_acquire", "rcu_dereference"], "write `load_acquire(x)`"),
    (&["cmpxchg", "try_cmpxchg", "atomic_cmpxchg", "atomic_try_cmpxchg"], "write `cas(x, old, new)`"),
    (&["xchg", "atomic_xchg"], "write `atomic { old = x; x = new }`, after a `let` for `old`"),
    // Counts.
    (&["atomic_read", "refcount_read"], "a plain load is one here: `let r = n`"),
    (&["atomic_set", "refcount_set"], "a plain store is one here: `n = 1`"),
    (&["atomic_inc"], "write `atomic { n++ }`"),
    (&["atomic_dec"], "write `atomic { n-- }`"),
    (&["atomic_add"], "write `atomic { n += 2 }`"),
    (&["atomic_sub"], "write `atomic { n -= 2 }`"),
    (&["refcount_inc", "kref_get", "get_page", "folio_get"], "write `get(x.refs)`"),
    (&["refcount_inc_not_zero", "atomic_inc_not_zero", "kref_get_unless_zero", "folio_try_get"], "write `tryget(x.refs)`"),
    (
        &["refcount_dec_and_test", "atomic_dec_and_test", "kref_put", "put_page", "folio_put"],
        "`put` is true for the last reference: `if put(x.refs) { free x }`",
    ),
    // Lifetimes.
    (&["kmalloc", "kzalloc", "kmem_cache_alloc", "alloc_page"], "write `let p = alloc(page)`, with the kind of the object"),
    (&["kfree", "kvfree", "kmem_cache_free", "free_page", "__free_page"], "write `free p`"),
    (&["kfree_rcu", "call_rcu"], "write `free_rcu p`"),
    (&["synchronize_srcu", "synchronize_rcu_expedited"], "write `synchronize_rcu`: there is one RCU"),
    (&["srcu_read_lock"], "write `rcu_read_lock`: there is one RCU"),
    (&["srcu_read_unlock"], "write `rcu_read_unlock`: there is one RCU"),
    // Lists.
    (
        &["list_for_each_entry", "list_for_each_entry_safe", "list_for_each_entry_rcu", "list_for_each"],
        "write `for v in l { … }`",
    ),
    (&["list_first_entry", "list_first_entry_or_null"], "write `list_first(l)`"),
    (&["list_next_entry"], "write `list_next(v, l)`"),
    (&["list_del_init", "list_del_rcu"], "write `list_del(v, l)`"),
    (&["list_add_rcu"], "write `list_add(v, l)`"),
    (&["list_add_tail_rcu"], "write `list_add_tail(v, l)`"),
    // The rest.
    (&["bug_on", "warn_on"], "write `assert !x`"),
    (&["bug"], "write `assert false`"),
    (&["cond_resched", "schedule"], "write `might_sleep`"),
    (&["wait_event", "cpu_relax"], "write `wait x`, with what is waited for"),
];

const DECLARATIONS: &[(&[&str], &str)] = &[
    (&["int", "unsigned", "long", "short", "char", "size_t", "u8", "u16", "u32", "u64"], NUMBER),
    (&["atomic_t", "atomic_long_t", "refcount_t"], "a shared count is `var n: 0..3`"),
    (&["bool"], "a local variable is `let b = false`, a shared one `flag b`"),
    (&["spinlock_t", "raw_spinlock_t", "DEFINE_SPINLOCK"], "a spin lock is `spin l`"),
    (&["DEFINE_MUTEX"], "a mutex is `mutex m`"),
    (&["rwlock_t"], "write `rwlock l`"),
    (&["struct"], "objects have a kind: `kind page { refs: 0..3 }`, and `page A`"),
    (&["void", "static", "inline"], "steps stand in `op name(x) { … }` and `thread name { … }`"),
    (&["switch"], "write `if … { … } else if … { … }`"),
    (&["do"], "write `loop { …; if x { break } }`"),
];

const NUMBER: &str = "a local variable is `let n = 0`, a shared one `var n: 0..3`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_a_function_are_the_function() {
        for word in ["spin_lock", "spin_lock_irqsave", "raw_spin_lock_irq", "mutex_lock_killable"] {
            assert_eq!(instead(word), Some("write `lock l`"), "{word}");
        }
        assert_eq!(instead("VM_BUG_ON"), instead("WARN_ON_ONCE"));
        assert_eq!(instead("atomic64_inc"), Some("write `atomic { n++ }`"));
        assert_eq!(instead("READ_ONCE"), Some("a plain load is one here: `let r = x`"));
        assert_eq!((instead("lock"), instead("page")), (None, None));
    }

    #[test]
    fn no_spelling_has_two_answers() {
        let mut words: Vec<&str> = CALLS.iter().chain(DECLARATIONS).flat_map(|(words, _)| words.iter().copied()).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all);
    }
}
