//! Where everything is kept: the model's variables for the declared ones, and the compiler's own beside them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    decl::{Decls, VarDecl},
    initial,
    limits::MOST_ELEMENTS,
    ty::Ty,
    unknown::unknown_in,
};
use crate::{
    lang::{
        Diagnostic,
        ast::{Expr, ExprKind},
    },
    model::{Domain, Element, Role, Show, Var, VarId},
};

/// Index into [`Storage::slots`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct SlotId(pub(super) usize);

/// A declared variable, or a field of a kind.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) ty: Ty,
    /// Numbers, flags, references: the value. Locks: who holds it for writing, 0 for nobody. Lists: the members, each list as
    /// many elements as the kind has objects.
    pub(super) var: VarId,
    /// Locks with readers: whether each thread is one.
    pub(super) readers: Option<VarId>,
    /// The number of values, locks or lists.
    pub(super) count: i32,
    /// Elements of an array within one object; 1 if it is none.
    pub(super) len: i32,
    pub(super) is_array: bool,
}

/// What of the language a model uses: what it leaves out costs no bits. Found by compiling once with everything.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Usage {
    pub(super) rcu: bool,
    /// Threads that wait for a grace period.
    pub(super) synchronizes: BTreeSet<usize>,
    /// Kinds whose objects are allocated or freed.
    pub(super) lifetimes: BTreeSet<usize>,
    /// Kinds whose objects are freed after a grace period.
    pub(super) deferred: BTreeSet<usize>,
    /// Locks by thread.
    pub(super) locks: BTreeSet<(usize, SlotId)>,
    /// Plain stores by thread.
    pub(super) stores: BTreeSet<(usize, SlotId)>,
    /// Ordered stores by thread, which pass the store buffer.
    pub(super) writes: BTreeSet<(usize, SlotId)>,
    /// Plain loads by thread.
    pub(super) loads: BTreeSet<(usize, SlotId)>,
}

/// What is kept for a kind whose objects come and go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    /// Allocated, by object.
    pub(super) live: VarId,
    /// By object and thread: the thread is inside a read section that began before the object was freed.
    pub(super) grace: Option<VarId>,
    /// Freed, by object, as soon as nobody is in such a section.
    pub(super) dying: Option<VarId>,
}

/// All variables of a model.
pub(super) struct Storage {
    pub(super) vars: Vec<Var>,
    pub(super) slots: Vec<Slot>,
    /// By [`Decls::vars`].
    pub(super) globals: Vec<SlotId>,
    /// By [`Decls::kinds`] and their fields.
    pub(super) fields: Vec<Vec<SlotId>>,
    /// By kind.
    pub(super) lifetimes: Vec<Option<Lifetime>>,
    /// By thread: how many read sections it is in.
    pub(super) nesting: Option<VarId>,
    /// By thread that waits for a grace period: for which threads.
    pub(super) waiting: Vec<Option<VarId>>,
    pub(super) threads: usize,
}

/// Read sections nest this deep at most.
pub(super) const DEEPEST: i32 = 3;

impl Storage {
    /// Lays out everything that is declared. `usage` is what the model is known to use; `None` for all there is.
    pub(super) fn of(decls: &Decls<'_>, usage: Option<&Usage>) -> Result<Self, Vec<Diagnostic>> {
        let mut this = Self {
            vars: Vec::new(),
            slots: Vec::new(),
            globals: Vec::new(),
            fields: Vec::new(),
            lifetimes: Vec::new(),
            nesting: None,
            waiting: Vec::new(),
            threads: decls.threads.len(),
        };
        this.fits(decls).map_err(|error| vec![error])?;
        let mut errors = Vec::new();
        for decl in &decls.vars {
            let owners = [Owner { prefix: String::new(), each: None, init: None }];
            let slot = this.slot(decls, decl, decl.name.text.clone(), &owners, &mut errors);
            this.globals.push(slot);
        }
        for kind in &decls.kinds {
            let mut slots = Vec::new();
            for field in &kind.fields {
                let owners: Vec<Owner<'_>> = kind
                    .objects
                    .iter()
                    .map(|object| Owner {
                        prefix: format!("{}.", object.name),
                        each: object.each,
                        init: object.fields.iter().find(|(name, _)| name.text == field.name.text).map(|(_, value)| value),
                    })
                    .collect();
                slots.push(this.slot(decls, field, format!("{}.{}", kind.name, field.name.text), &owners, &mut errors));
            }
            this.fields.push(slots);
            for (name, _) in kind.objects.iter().flat_map(|object| object.fields) {
                if !kind.fields.iter().any(|field| field.name.text == name.text) {
                    let fields = kind.fields.iter().map(|field| field.name.text.as_str());
                    errors.push(unknown_in(&format!("field of `{}`", kind.name), name, None, fields));
                }
            }
        }
        this.hidden(decls, usage);
        if errors.is_empty() { Ok(this) } else { Err(errors) }
    }

    /// Refuses what no state could hold, before it is laid out.
    fn fits(&self, decls: &Decls<'_>) -> Result<(), Diagnostic> {
        let objects = |kind: usize| decls.kinds[kind].objects.len();
        let one = |decl: &VarDecl<'_>| {
            let each = match decl.ty {
                Ty::List(kind) => objects(kind).max(1),
                Ty::Lock(lock) if lock.shared() => 1 + self.threads,
                _ => 1,
            };
            each * decl.len.map_or(1, |len| len as usize)
        };
        let vars = decls.vars.iter().map(|decl| (decl, one(decl)));
        let fields = decls.kinds.iter().flat_map(|kind| kind.fields.iter().map(|decl| (decl, one(decl) * kind.objects.len())));
        let mut total = 0;
        for (decl, elements) in vars.chain(fields) {
            total += elements;
            if total > MOST_ELEMENTS {
                return Err(Diagnostic::error("the model has too many variables")
                    .at(decl.name.span, format!("more than {MOST_ELEMENTS} elements with this one")));
            }
        }
        // What the compiler keeps of each object.
        let objects: usize = decls.kinds.iter().map(|kind| kind.objects.len()).sum();
        match decls.kinds.iter().rev().find(|kind| !kind.objects.is_empty()) {
            Some(kind) if objects * (2 + self.threads) > 4 * MOST_ELEMENTS => {
                Err(Diagnostic::error(format!("too many objects: {objects} for {} threads", self.threads))
                    .note(format!("the last of them are of `{}`", kind.name)))
            }
            _ => Ok(()),
        }
    }

    /// Adds a variable.
    pub(super) fn add(&mut self, name: String, role: Role, domain: Domain, elements: Vec<Element>) -> VarId {
        self.vars.push(Var { name, role, domain, elements });
        VarId((self.vars.len() - 1) as u32)
    }

    fn slot(
        &mut self,
        decls: &Decls<'_>,
        decl: &VarDecl<'_>,
        name: String,
        owners: &[Owner<'_>],
        errors: &mut Vec<Diagnostic>,
    ) -> SlotId {
        let len = decl.len.unwrap_or(1);
        for init in std::iter::once(decl.init).chain(owners.iter().map(|owner| owner.init)) {
            match initial::as_many(decl, init, len) {
                Err(error) if !errors.contains(&error) => errors.push(error),
                _ => {}
            }
        }
        let mut elements = Vec::new();
        let mut readers = Vec::new();
        for owner in owners {
            for i in 0..len {
                let index = if decl.len.is_some() { format!("[{i}]") } else { String::new() };
                let called = format!("{}{}{index}", owner.prefix, decl.name.text);
                let init = match owner.init.or(decl.init) {
                    // `[a, b]` gives each element of an array its own; an array of lists begins with the same members in each.
                    Some(Expr { kind: ExprKind::List(each), .. }) if decl.len.is_some() && !decl.ty.is_list() => {
                        each.get(i as usize).or(each.last())
                    }
                    init => init,
                };
                match decl.ty {
                    Ty::List(kind) => match initial::list(decls, init, kind) {
                        Ok(members) => elements.extend(
                            members.into_iter().enumerate().map(|(at, init)| Element { name: format!("{called}[{at}]"), init }),
                        ),
                        Err(error) => errors.push(error),
                    },
                    Ty::Lock(lock) => {
                        if let Some(init) = init {
                            errors.push(Diagnostic::error("a lock begins free").at(init.span, "no first value"));
                        }
                        if lock.shared() {
                            let reader = |thread: &str| Element { name: format!("{called} readers {thread}"), init: 0 };
                            readers.extend(decls.threads.iter().map(|thread| reader(&thread.name)));
                        }
                        elements.push(Element { name: called, init: 0 });
                    }
                    ty => match init
                        .map_or_else(|| initial::first(decls, ty, decl.name), |init| initial::value(decls, init, ty, owner.each))
                    {
                        Ok(init) => elements.push(Element { name: called, init }),
                        Err(error) => errors.push(error),
                    },
                }
            }
        }
        let count = owners.len() as i32 * len;
        // A kind without objects has no elements, but a variable has at least one; nothing can refer to it.
        if elements.is_empty() {
            elements.push(Element { name: name.clone(), init: domain(decls, decl.ty).lo });
        }
        let readers = matches!(decl.ty, Ty::Lock(lock) if lock.shared()).then(|| {
            if readers.is_empty() {
                readers.push(Element { name: format!("{name} readers"), init: 0 });
            }
            self.add(format!("{name}.readers"), Role::Hidden, flag(), readers)
        });
        let var = self.add(name, Role::Shared, domain(decls, decl.ty), elements);
        self.slots.push(Slot { ty: decl.ty, var, readers, count, len, is_array: decl.len.is_some() });
        SlotId(self.slots.len() - 1)
    }

    /// The variables that the text does not name.
    fn hidden(&mut self, decls: &Decls<'_>, usage: Option<&Usage>) {
        let threads: Vec<&str> = decls.threads.iter().map(|thread| thread.name.as_str()).collect();
        let flags = |names: Vec<String>, init: &dyn Fn(usize) -> bool| -> Vec<Element> {
            names.into_iter().enumerate().map(|(i, name)| Element { name, init: i32::from(init(i)) }).collect()
        };
        for (number, kind) in decls.kinds.iter().enumerate() {
            let uses = |set: fn(&Usage) -> &BTreeSet<usize>| usage.is_none_or(|usage| set(usage).contains(&number));
            if kind.objects.is_empty() || !uses(|usage| &usage.lifetimes) {
                self.lifetimes.push(None);
                continue;
            }
            let of = |what: &str| kind.objects.iter().map(|object| format!("{} {what}", object.name)).collect();
            let live = flags(of("live"), &|i| !kind.objects[i].free);
            let live = self.add(format!("{}.live", kind.name), Role::Hidden, flag(), live);
            let deferred = uses(|usage| &usage.deferred);
            let rcu = usage.is_none_or(|usage| usage.rcu);
            let dying = deferred.then(|| {
                let dying = flags(of("waits for a grace period"), &|_| false);
                self.add(format!("{}.dying", kind.name), Role::Hidden, flag(), dying)
            });
            let grace = (rcu && (deferred || kind.typesafe)).then(|| {
                let name = |object: &str, thread: &&str| format!("{object} in use by {thread}");
                let names = kind.objects.iter().flat_map(|object| threads.iter().map(move |t| name(&object.name, t)));
                let grace = flags(names.collect(), &|_| false);
                self.add(format!("{}.grace", kind.name), Role::Hidden, flag(), grace)
            });
            self.lifetimes.push(Some(Lifetime { live, grace, dying }));
        }
        if threads.is_empty() {
            return;
        }
        if usage.is_none_or(|usage| usage.rcu) {
            let elements = threads.iter().map(|t| Element { name: format!("{t} read sections"), init: 0 }).collect();
            let domain = Domain { lo: 0, hi: DEEPEST, show: Show::Number };
            self.nesting = Some(self.add("rcu.nesting".to_owned(), Role::Hidden, domain, elements));
        }
        for (number, thread) in threads.iter().enumerate() {
            let waits = self.nesting.is_some() && usage.is_none_or(|usage| usage.synchronizes.contains(&number));
            let waiting = waits.then(|| {
                let names = threads.iter().map(|other| format!("{thread} waits for {other}")).collect();
                let elements = flags(names, &|_| false);
                self.add(format!("{thread}.grace"), Role::Hidden, flag(), elements)
            });
            self.waiting.push(waiting);
        }
    }
}

/// An object whose field is laid out (or nothing, for a variable).
struct Owner<'a> {
    prefix: String,
    each: Option<(&'a str, i32)>,
    init: Option<&'a Expr>,
}

fn flag() -> Domain {
    Domain { lo: 0, hi: 1, show: Show::Bool }
}

/// The values of a type.
pub(super) fn domain(decls: &Decls<'_>, ty: Ty) -> Domain {
    let names = |names: Vec<String>, lo: i32| {
        let names = if names.is_empty() { vec!["none".to_owned()] } else { names };
        Domain { lo, hi: lo + names.len() as i32 - 1, show: Show::Names(Arc::from(names)) }
    };
    let objects = |kind: usize| decls.kinds[kind].objects.iter().map(|object| object.name.clone());
    let with_none = |rest: &mut dyn Iterator<Item = String>| std::iter::once("none".to_owned()).chain(rest).collect();
    match ty {
        Ty::Int(lo, hi) => Domain { lo, hi, show: Show::Number },
        Ty::Bool => flag(),
        Ty::Enum(of) => names(decls.enums[of].values.clone(), 0),
        Ty::Ref { kind, maybe: false } => names(objects(kind).collect(), 1),
        Ty::Ref { kind, maybe: true } | Ty::List(kind) => names(with_none(&mut objects(kind)), 0),
        Ty::None => names(Vec::new(), 0),
        Ty::Lock(_) => {
            let threads = decls.threads.iter().map(|thread| thread.name.clone());
            names(std::iter::once("free".to_owned()).chain(threads).collect(), 0)
        }
    }
}
