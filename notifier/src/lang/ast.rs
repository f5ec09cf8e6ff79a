//! The syntax tree of a model file: what was written, with the place of everything, before any name is looked up.
//!
//! The grammar is `grammar.lalrpop`; `notifier/LANGUAGE.md` explains the constructs one by one.

/// A place in the text: byte offsets, `start..end`, and the text they count in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span {
    /// Which text: 0 is the file itself, others are the library texts that it uses ([`super::source::Sources`]).
    pub text: u16,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A name with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The name as written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A quoted text (without its quotes) with its place.
pub type Quoted = Name;

/// A whole file.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct File {
    /// The items in the order of the text.
    pub items: Vec<Item>,
}

/// One item at the top level, with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Item {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ItemKind,
}

/// What stands at the top level of a file.
#[derive(Clone, PartialEq, Debug)]
pub enum ItemKind {
    /// `model "where to invalidate"`
    Model(Quoted),
    /// `source "f268f6cf875f, CVE-2022-48991"`
    Source(Quoted),
    /// `year 2008`
    Year(i64),
    /// `use memory`
    Use(Name),
    /// `const N = 3`
    Const {
        /// The constant.
        name: Name,
        /// Its value: constants and numbers only.
        value: Expr,
    },
    /// `enum pmd { empty, table, huge }`
    Enum {
        /// The type.
        name: Name,
        /// Its values, in order.
        values: Vec<Name>,
    },
    /// `kind anon_vma typesafe { lock: spin; root: anon_vma? }`
    Kind {
        /// The kind.
        name: Name,
        /// Memory of freed objects stays memory of this kind until a grace period ends (SLAB_TYPESAFE_BY_RCU).
        typesafe: bool,
        /// The fields of every object of the kind.
        fields: Vec<Field>,
    },
    /// `var seq: 0..7 = 0`, also `flag seen` (a `bool`) and `spin ptl` (a `var` of that lock type)
    Var {
        /// How it was introduced, for the formatter.
        intro: Intro,
        /// The variables.
        vars: Vec<Declarator>,
        /// The type of all of them.
        ty: Type,
        /// Their first value.
        init: Option<Expr>,
    },
    /// `page A, B { data = 1 }, F[i in 0..8], S free`
    Objects {
        /// The kind.
        kind: Name,
        /// The objects.
        objects: Vec<Object>,
    },
    /// `op zap(x) { … }`
    Op(Op),
    /// `thread vcpu[i in 0..1] { … }`
    Thread {
        /// The thread.
        name: Name,
        /// One thread for each number of a range.
        each: Option<(Name, Expr, Expr)>,
        /// What it does.
        body: Block,
    },
    /// `never A.data == 2 "…"`
    Property {
        /// When it is looked at, and what it asks.
        what: PropertyKind,
        /// The condition.
        condition: Expr,
        /// What it means, in words.
        message: Option<Quoted>,
    },
    /// `observe guest.r, A.data`
    Observe(Vec<Expr>),
    /// `allow deadlock, livelock`
    Allow(Vec<Name>),
    /// `expect after_unlock fails "…", inside_lock holds under tso`
    Expect(Vec<Expectation>),
}

/// The word that introduces variables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intro {
    /// `var a: TYPE`
    Var,
    /// `flag a`
    Flag,
    /// `spin a`, `mutex a`, `rwlock a`, `rwsem a`
    Lock,
}

/// One declared variable or field: `tlb`, `tlb[2]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Declarator {
    /// The name.
    pub name: Name,
    /// The number of elements of an array.
    pub len: Option<Expr>,
}

/// Fields of a kind: `pte, spte: page? = none`.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// The fields.
    pub names: Vec<Declarator>,
    /// Their type.
    pub ty: Type,
    /// Their first value.
    pub init: Option<Expr>,
    /// Where.
    pub span: Span,
}

/// Declared objects: `A`, `B { data = 1 }`, `F[i in 0..8] { data = i }`, `S free`.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// The object, or the family of them.
    pub name: Name,
    /// `F[i in 0..8]` declares `F[0]` to `F[8]`.
    pub each: Option<(Name, Expr, Expr)>,
    /// Not allocated at the start.
    pub free: bool,
    /// First values of fields: `{ data = 1; pte = A }`.
    pub fields: Vec<(Name, Expr)>,
    /// Where.
    pub span: Span,
}

/// A type with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Type {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: TypeKind,
}

/// The types that can be written down.
#[derive(Clone, PartialEq, Debug)]
pub enum TypeKind {
    /// `0..7`
    Range(Box<Expr>, Box<Expr>),
    /// `bool`, an enum, a kind, or a lock type: `spin`, `mutex`, `rwlock`, `rwsem`
    Named(Name),
    /// `page?`: an object or `none`
    Maybe(Name),
    /// `list of vma`: objects in order, each at most once
    List(Name),
}

/// An operation and its definitions.
#[derive(Clone, PartialEq, Debug)]
pub struct Op {
    /// The operation.
    pub name: Name,
    /// What it is called with; by name, as a C macro.
    pub params: Vec<Name>,
    /// The type of what it returns.
    pub result: Option<Type>,
    /// The definition in every ordering that has none of its own.
    pub body: Option<Block>,
    /// The definitions by ordering.
    pub orderings: Vec<(Vec<Name>, Block)>,
}

/// What a property asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PropertyKind {
    /// False in every state.
    Never,
    /// True in every state.
    Always,
    /// True in at least one state.
    Sometimes,
    /// True in every state in which all threads have finished.
    Finally,
}

/// One entry of `expect`.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// The ordering; none where the file has no orderings.
    pub ordering: Option<Name>,
    /// What is expected of it.
    pub verdict: Expected,
    /// The message of the property that fails.
    pub message: Option<Quoted>,
    /// `under tso`
    pub memory_model: Option<Name>,
    /// Where.
    pub span: Span,
}

/// An expected verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// `holds`
    Holds,
    /// `fails`: in whatever way
    Fails,
    /// `deadlocks`
    Deadlocks,
    /// `livelocks`
    Livelocks,
}

/// `{ … }`
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Block {
    /// Where, with its braces.
    pub span: Span,
    /// The statements in order.
    pub stmts: Vec<Stmt>,
}

/// A statement with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Stmt {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: StmtKind,
}

/// The statements.
#[derive(Clone, PartialEq, Debug)]
pub enum StmtKind {
    /// `let old: page? = x.pte`
    Let {
        /// The local variable.
        name: Name,
        /// Its type; otherwise that of the value.
        ty: Option<Type>,
        /// Its value; otherwise the type's first.
        value: Option<Expr>,
    },
    /// `x.pte = new`, `seq += 1`, `seq++`
    Assign {
        /// What is written.
        place: Expr,
        /// How.
        how: AssignOp,
        /// The value; none for `++` and `--`.
        value: Option<Expr>,
    },
    /// `zap(x)`, `zap x`, `smp_mb`: an operation, of the file or built in
    Call {
        /// The operation.
        name: Name,
        /// What it is called with.
        args: Vec<Expr>,
        /// Written with parentheses, for the formatter.
        parens: bool,
    },
    /// `if c { … } else { … }`; an `else if` is an else block that holds nothing but an `if`
    If {
        /// The condition.
        condition: Expr,
        /// Where it holds.
        then: Block,
        /// Where not.
        otherwise: Option<Block>,
    },
    /// `loop { … }`
    Loop(Block),
    /// `while c { … }`
    While {
        /// The condition.
        condition: Expr,
        /// The body.
        body: Block,
    },
    /// `repeat 3 { … }`
    Repeat {
        /// How often.
        times: Expr,
        /// The body.
        body: Block,
    },
    /// `for i in 0..2 { … }`, `for v in vma { … }`, `for v in a.vmas { … }`
    For {
        /// The variable.
        name: Name,
        /// What it runs through.
        domain: Domain,
        /// The body.
        body: Block,
    },
    /// `atomic { … }`
    Atomic(Block),
    /// `choose { … } or { … }`
    Choose(Vec<Block>),
    /// `wait seen`
    Wait(Expr),
    /// `assert old != none "…"`
    Assert {
        /// What must hold.
        condition: Expr,
        /// What it means, in words.
        message: Option<Quoted>,
    },
    /// `break`
    Break,
    /// `continue`
    Continue,
    /// `return`, `return e`
    Return(Option<Expr>),
    /// `goto out`
    Goto(Name),
    /// `out: unlock ptl`
    Label(Name, Box<Stmt>),
}

/// How an assignment writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AssignOp {
    /// `=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `++`
    Increment,
    /// `--`
    Decrement,
}

/// What a `for` or a quantifier runs through.
#[derive(Clone, PartialEq, Debug)]
pub enum Domain {
    /// `0..2`
    Range(Box<Expr>, Box<Expr>),
    /// A kind (its objects in the order of the text), an enum, or a list (its members in their order).
    Of(Box<Expr>),
}

/// An expression with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Expr {
    /// Where.
    pub span: Span,
    /// What.
    pub kind: ExprKind,
}

/// The expressions.
#[derive(Clone, PartialEq, Debug)]
pub enum ExprKind {
    /// `3`
    Number(i64),
    /// `true`, `false`
    Bool(bool),
    /// `none`
    None,
    /// A variable, object, constant, enum value, parameter, or kind.
    Name(String),
    /// `x.pte`; `guest.r` for a local variable of a thread
    Field(Box<Expr>, Name),
    /// `F[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `trylock(ptl)`, `list_first(l)`, `get_page(x)`
    Call(Name, Vec<Expr>),
    /// `any 0..2`, `any page`
    Any(Domain),
    /// `[src, dst]`: the first value of a list
    List(Vec<Expr>),
    /// `!a`, `-a`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `forall p in page: p.data == 0`
    Quantified {
        /// For all, or there is one.
        all: bool,
        /// The variable.
        name: Name,
        /// What it runs through.
        domain: Domain,
        /// The condition.
        body: Box<Expr>,
    },
}

/// Operators with one operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnaryOp {
    /// `!`
    Not,
    /// `-`
    Neg,
}

/// Operators with two operands, from the weakest to the strongest: `||`, `&&`, comparisons (which do not chain) and `in`,
/// `+ -`, `* / %`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is the operator of its name")]
pub enum BinaryOp {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}
