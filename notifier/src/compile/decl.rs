//! What a file declares: every name of the top level, once, with what it stands for.

use std::collections::BTreeMap;

use super::{
    builtin,
    constant::{self, Constants},
    limits::{MOST_ELEMENTS, MOST_ERRORS, MOST_THREADS},
    ty::{LockKind, Ty},
    unit::Result,
    unknown::unknown,
};
use crate::{
    lang::{
        Diagnostic, ITEM_WORDS, Span,
        ast::{self, Declarator, Expr, File, Item, ItemKind, Name, Op, TypeKind},
    },
    near::slip,
};

/// The most objects of a kind, elements of an array, threads of a family, and rounds of a loop: enough for any ordering, and far
/// below what would make the unrolled model unwieldy.
pub(super) const MOST: i32 = 64;

/// What a name of the top level stands for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Def {
    Const(i32),
    Enum(usize),
    Value { of: usize, value: i32 },
    Kind(usize),
    Object { kind: usize, number: i32 },
    Family { kind: usize, first: i32, lo: i32, hi: i32 },
    Var(usize),
    Op(usize),
    Thread(usize),
    Threads { first: usize, lo: i32, hi: i32 },
}

impl Def {
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Const(_) => "a constant",
            Self::Enum(_) => "an enum",
            Self::Value { .. } => "a value of an enum",
            Self::Kind(_) => "a kind",
            Self::Object { .. } => "an object",
            Self::Family { .. } => "a family of objects",
            Self::Var(_) => "a variable",
            Self::Op(_) => "an operation",
            Self::Thread(_) => "a thread",
            Self::Threads { .. } => "a family of threads",
        }
    }
}

pub(super) struct EnumDecl<'a> {
    pub(super) name: &'a str,
    pub(super) values: Vec<String>,
}

pub(super) struct KindDecl<'a> {
    pub(super) name: &'a str,
    pub(super) typesafe: bool,
    pub(super) fields: Vec<VarDecl<'a>>,
    pub(super) objects: Vec<ObjectDecl<'a>>,
}

/// A variable, or a field of every object of a kind.
pub(super) struct VarDecl<'a> {
    pub(super) name: &'a Name,
    pub(super) ty: Ty,
    /// The number of elements, if it is an array.
    pub(super) len: Option<i32>,
    pub(super) init: Option<&'a Expr>,
}

pub(super) struct ObjectDecl<'a> {
    pub(super) name: String,
    pub(super) free: bool,
    pub(super) fields: &'a [(Name, Expr)],
    /// The variable of the family and its value here.
    pub(super) each: Option<(&'a str, i32)>,
}

pub(super) struct ThreadDecl<'a> {
    pub(super) name: String,
    pub(super) each: Option<(&'a str, i32)>,
    pub(super) body: &'a ast::Block,
}

pub(super) struct PropertyDecl<'a> {
    pub(super) what: ast::PropertyKind,
    pub(super) condition: &'a Expr,
    pub(super) message: Option<&'a str>,
    pub(super) at: Span,
}

/// Everything that is declared.
#[derive(Default)]
pub(super) struct Decls<'a> {
    names: BTreeMap<&'a str, (Def, Span)>,
    pub(super) enums: Vec<EnumDecl<'a>>,
    pub(super) kinds: Vec<KindDecl<'a>>,
    pub(super) vars: Vec<VarDecl<'a>>,
    pub(super) ops: Vec<&'a Op>,
    pub(super) threads: Vec<ThreadDecl<'a>>,
    pub(super) properties: Vec<PropertyDecl<'a>>,
    pub(super) observed: Vec<&'a Expr>,
    pub(super) allow: Vec<&'a Name>,
}

impl<'a> Decls<'a> {
    /// Collects the declarations of several files (the model's, and those of the library that it uses).
    pub(super) fn of(files: &[&'a File]) -> std::result::Result<Self, Vec<Diagnostic>> {
        let mut this = Self::default();
        let mut errors = Vec::new();
        let items = || files.iter().flat_map(|file| &file.items);
        // Goes through all items, as far as it is worth telling what is wrong with them.
        let mut each = |this: &mut Self, declare: &mut dyn FnMut(&mut Self, &'a Item) -> Result<()>| {
            for item in items() {
                if errors.len() < MOST_ERRORS {
                    errors.extend(declare(this, item).err());
                }
            }
        };
        // Constants first, then what types are made of, then what has types: their order in the text does not matter.
        let exprs = items()
            .filter_map(|item| match &item.kind {
                ItemKind::Const { name, value } => Some((name.text.as_str(), value)),
                _ => None,
            })
            .collect();
        let consts = Constants { exprs, ..Constants::default() };
        each(&mut this, &mut |this, item| match &item.kind {
            ItemKind::Const { name, value } => {
                constant::constant_item(&consts, name, value).and_then(|v| this.name(name, Def::Const(v)))
            }
            ItemKind::Enum { name, values } => this.enumeration(name, values),
            ItemKind::Kind { name, typesafe, .. } => {
                let kind = KindDecl { name: &name.text, typesafe: *typesafe, fields: Vec::new(), objects: Vec::new() };
                this.kinds.push(kind);
                this.name(name, Def::Kind(this.kinds.len() - 1))
            }
            _ => Ok(()),
        });
        each(&mut this, &mut |this, item| {
            match &item.kind {
                ItemKind::Objects { kind, objects } => this.objects(kind, objects),
                // An operation of the file takes the place of the library's.
                ItemKind::Op(op) if op.name.span.text != 0 && matches!(this.get(&op.name.text), Some(Def::Op(_))) => Ok(()),
                ItemKind::Op(op) => {
                    this.ops.push(op);
                    this.name(&op.name, Def::Op(this.ops.len() - 1))?;
                    twice("parameter", op.params.iter()).map_or(Ok(()), Err)
                }
                ItemKind::Thread { name, each, body } => this.thread(name, each.as_ref(), body),
                ItemKind::Property { what, condition, message } => {
                    let message = message.as_ref().map(|message| message.text.as_str());
                    this.properties.push(PropertyDecl { what: *what, condition, message, at: item.span });
                    Ok(())
                }
                ItemKind::Observe(what) => {
                    this.observed.extend(what);
                    Ok(())
                }
                ItemKind::Allow(what) => {
                    this.allow.extend(what);
                    Ok(())
                }
                _ => Ok(()),
            }
        });
        each(&mut this, &mut |this, item| match &item.kind {
            ItemKind::Kind { name, fields, .. } => this.fields(name, fields),
            ItemKind::Var { vars, ty, init, .. } => vars.iter().try_for_each(|var| this.var(var, ty, init.as_ref())),
            _ => Ok(()),
        });
        if errors.is_empty() { Ok(this) } else { Err(errors) }
    }

    /// What a name stands for.
    pub(super) fn get(&self, name: &str) -> Option<Def> {
        self.names.get(name).map(|(def, _)| *def)
    }

    /// All names, for near misses.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.names.keys().copied()
    }

    /// A type in words.
    pub(super) fn describe(&self, ty: Ty) -> String {
        match ty {
            Ty::Int(lo, hi) if lo == hi => format!("the number {lo}"),
            Ty::Int(lo, hi) => format!("a number {lo}..{hi}"),
            Ty::Bool => "a bool".to_owned(),
            Ty::Enum(of) => format!("a value of `{}`", self.enums[of].name),
            Ty::Ref { kind, maybe } => format!("`{}{}`", self.kinds[kind].name, if maybe { "?" } else { "" }),
            Ty::None => "`none`".to_owned(),
            Ty::Lock(kind) => kind.what().to_owned(),
            Ty::List(kind) => format!("a list of `{}`", self.kinds[kind].name),
        }
    }

    fn name(&mut self, name: &'a Name, def: Def) -> Result<()> {
        if builtin::NAMES.contains(&name.text.as_str()) || is_type_word(&name.text) {
            return Err(Diagnostic::error(format!("`{}` is built in", name.text)).at(name.span, "choose another name"));
        }
        if let Some((_, first)) = self.names.get(name.text.as_str()) {
            return Err(Diagnostic::error(format!("`{}` is declared twice", name.text))
                .at(name.span, "declared again here")
                .also(*first, "first declared here"));
        }
        self.names.insert(&name.text, (def, name.span));
        Ok(())
    }

    fn enumeration(&mut self, name: &'a Name, values: &'a [Name]) -> Result<()> {
        let of = self.enums.len();
        self.enums.push(EnumDecl { name: &name.text, values: values.iter().map(|value| value.text.clone()).collect() });
        self.name(name, Def::Enum(of))?;
        for (value, number) in values.iter().zip(0..) {
            self.name(value, Def::Value { of, value: number })?;
        }
        Ok(())
    }

    fn objects(&mut self, kind: &'a Name, objects: &'a [ast::Object]) -> Result<()> {
        let number = match self.get(&kind.text) {
            Some(Def::Kind(number)) => number,
            found => {
                let error = unknown("kind", kind, found, self.kinds.iter().map(|kind| kind.name));
                return Err(match slip(&kind.text, ITEM_WORDS.iter().copied()) {
                    Some(word) => error.help(format!("did you mean `{word}`?")),
                    None if !error.help.is_empty() => error,
                    None => error.note("an item begins with a keyword, or declares objects of a kind: `page A, B`"),
                });
            }
        };
        for object in objects {
            if let Some(error) = twice("field", object.fields.iter().map(|(name, _)| name)) {
                return Err(error);
            }
            let first = self.kinds[number].objects.len() as i32;
            let decl = |name: String, each| ObjectDecl { name, free: object.free, fields: &object.fields, each };
            match &object.each {
                None => {
                    self.name(&object.name, Def::Object { kind: number, number: first })?;
                    self.kinds[number].objects.push(decl(object.name.text.clone(), None));
                }
                Some((index, lo, hi)) => {
                    let (lo, hi) = self.bounds(lo, hi)?;
                    self.name(&object.name, Def::Family { kind: number, first, lo, hi })?;
                    let family = (lo..=hi).map(|i| decl(format!("{}[{i}]", object.name.text), Some((index.text.as_str(), i))));
                    self.kinds[number].objects.extend(family);
                }
            }
            if self.kinds[number].objects.len() > MOST as usize {
                return Err(Diagnostic::error(format!("more than {MOST} objects of `{}`", kind.text)).at(object.span, "too many"));
            }
        }
        Ok(())
    }

    fn thread(&mut self, name: &'a Name, each: Option<&'a (Name, Expr, Expr)>, body: &'a ast::Block) -> Result<()> {
        let first = self.threads.len();
        if first >= MOST_THREADS {
            return Err(Diagnostic::error(format!("more than {MOST_THREADS} threads")).at(name.span, "too many"));
        }
        match each {
            None => {
                self.threads.push(ThreadDecl { name: name.text.clone(), each: None, body });
                self.name(name, Def::Thread(first))
            }
            Some((index, lo, hi)) => {
                let (lo, hi) = self.bounds(lo, hi)?;
                let family = (lo..=hi).map(|i| ThreadDecl {
                    name: format!("{}[{i}]", name.text),
                    each: Some((index.text.as_str(), i)),
                    body,
                });
                self.threads.extend(family);
                self.name(name, Def::Threads { first, lo, hi })
            }
        }
    }

    fn fields(&mut self, kind: &'a Name, fields: &'a [ast::Field]) -> Result<()> {
        let Some(Def::Kind(number)) = self.get(&kind.text) else { return Ok(()) };
        for field in fields {
            let ty = self.ty(&field.ty)?;
            for declarator in &field.names {
                if self.kinds[number].fields.len() >= MOST_ELEMENTS {
                    return Err(Diagnostic::error("too many fields").at(declarator.name.span, format!("at most {MOST_ELEMENTS}")));
                }
                if let Some(twin) = self.kinds[number].fields.iter().find(|f| f.name.text == declarator.name.text) {
                    return Err(Diagnostic::error(format!("the field `{}` is declared twice", declarator.name.text))
                        .at(declarator.name.span, "declared again here")
                        .also(twin.name.span, "first declared here"));
                }
                let len = self.len(declarator)?;
                self.kinds[number].fields.push(VarDecl { name: &declarator.name, ty, len, init: field.init.as_ref() });
            }
        }
        Ok(())
    }

    fn var(&mut self, var: &'a Declarator, ty: &'a ast::Type, init: Option<&'a Expr>) -> Result<()> {
        let ty = self.ty(ty)?;
        let len = self.len(var)?;
        self.vars.push(VarDecl { name: &var.name, ty, len, init });
        self.name(&var.name, Def::Var(self.vars.len() - 1))
    }

    fn len(&self, declarator: &Declarator) -> Result<Option<i32>> {
        let Some(len) = &declarator.len else { return Ok(None) };
        match self.constant(len)? {
            n @ 1..=MOST => Ok(Some(n)),
            n => Err(Diagnostic::error(format!("an array of {n} elements")).at(len.span, format!("from 1 to {MOST}"))),
        }
    }

    /// The type that is written down.
    pub(super) fn ty(&self, ty: &ast::Type) -> Result<Ty> {
        let kind = |name: &Name| match self.get(&name.text) {
            Some(Def::Kind(kind)) => Ok(kind),
            found => Err(unknown("kind", name, found, self.kinds.iter().map(|kind| kind.name))),
        };
        match &ty.kind {
            TypeKind::Range(lo, hi) => {
                let (low, high) = (self.constant(lo)?, self.constant(hi)?);
                if low > high {
                    return Err(Diagnostic::error("an empty range").at(ty.span, format!("{low} is more than {high}")));
                }
                Ok(Ty::Int(low, high))
            }
            TypeKind::Named(name) => {
                if name.text == "bool" {
                    return Ok(Ty::Bool);
                }
                if let Some((_, lock)) = LockKind::NAMES.iter().find(|(word, _)| *word == name.text) {
                    return Ok(Ty::Lock(*lock));
                }
                match self.get(&name.text) {
                    Some(Def::Enum(of)) => Ok(Ty::Enum(of)),
                    Some(Def::Kind(kind)) => Ok(Ty::Ref { kind, maybe: false }),
                    found => {
                        let words = LockKind::NAMES.iter().map(|(word, _)| *word).chain(["bool"]);
                        let types = self.kinds.iter().map(|kind| kind.name).chain(self.enums.iter().map(|e| e.name));
                        Err(unknown("type", name, found, words.chain(types)))
                    }
                }
            }
            TypeKind::Maybe(name) => Ok(Ty::Ref { kind: kind(name)?, maybe: true }),
            TypeKind::List(name) => Ok(Ty::List(kind(name)?)),
        }
    }
}

fn is_type_word(word: &str) -> bool {
    word == "bool" || LockKind::NAMES.iter().any(|(name, _)| *name == word)
}

/// A name that is there twice.
fn twice<'n>(what: &str, names: impl Iterator<Item = &'n Name>) -> Option<Diagnostic> {
    let mut seen: Vec<&Name> = Vec::new();
    for name in names {
        if let Some(first) = seen.iter().find(|known| known.text == name.text) {
            let error = Diagnostic::error(format!("the {what} `{}` is there twice", name.text));
            return Some(error.at(name.span, "again here").also(first.span, "first here"));
        }
        seen.push(name);
    }
    None
}
