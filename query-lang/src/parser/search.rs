//! SEARCH and its clauses: in any order, each at most once.

use std::ops::Bound::Included;
use std::ops::RangeBounds as _;

use super::options::check_setting;
use super::{Parse, Parser};
use crate::ast::{
    Column, Condition, Field, Method, MethodClause, Mode, Options, Place, RerankClause, Role, Scope, Search, Span,
    Spanned,
};
use crate::complaints;
use crate::diagnostic::Diagnostic;
use crate::lexer::Token;
use crate::limits::{DEFAULT_DEPTH, EXAMPLE_NEAR, MAX_COLLAPSED, MAX_CONDITIONS};
use crate::options;
use crate::print::{interval, quoted};
use crate::value::{Interval, Takes, Value};
use crate::words;

/// The cosines.
const COSINES: Interval = (Included(-1.0), Included(1.0));

impl Parser<'_> {
    /// After the word SEARCH, up to the end of the statement.
    pub(super) fn search(&mut self) -> Parse<Search> {
        let image = self.image("SEARCH 'photo.jpg' K 100 RERANK k=3 tau=0.6")?;
        let mut search = Search {
            image,
            scope: None,
            filter: Vec::new(),
            depth: None,
            limit: None,
            mode: None,
            expand: None,
            augment: None,
            order: None,
            least: None,
            collapse: None,
            verify: None,
            rerank: None,
            freshness: None,
            including_self: false,
            columns: None,
            into: None,
            overwrite: false,
        };
        while self.peek().is_some() {
            self.clause(&mut search)?;
        }
        check_search(&search)?;
        Ok(search)
    }

    fn clause(&mut self, search: &mut Search) -> Parse<()> {
        let span = self.here();
        let keyword = self.word().map(str::to_ascii_uppercase);
        match keyword.as_deref() {
            Some("IN") => {
                self.once(search.scope.is_some(), "IN")?;
                search.scope = Some(self.scope()?);
            }
            Some("WHERE") => {
                self.once(!search.filter.is_empty(), "WHERE")?;
                search.filter = self.conditions()?;
            }
            Some("K") => search.depth = Some(self.counted_clause(search.depth.is_some(), "K", "100")?),
            Some("LIMIT") => search.limit = Some(self.counted_clause(search.limit.is_some(), "LIMIT", "10")?),
            Some("EXACT") => {
                self.bump();
                match search.mode.as_ref().map(|mode| mode.node) {
                    Some(Mode::Exact) => return Err(complaints::repeated_clause(span, "EXACT")),
                    Some(Mode::Ef(_)) => return Err(complaints::exact_and_ef(span)),
                    None => search.mode = Some(Spanned { node: Mode::Exact, span }),
                }
            }
            Some("EF") => {
                if search.mode.as_ref().is_some_and(|mode| mode.node == Mode::Exact) {
                    return Err(complaints::exact_and_ef(span));
                }
                let breadth = self.counted_clause(search.mode.is_some(), "EF", "200")?;
                search.mode = Some(Spanned { node: Mode::Ef(breadth.node), span: self.since(span) });
            }
            Some("EXPAND") => {
                self.once(search.expand.is_some(), "EXPAND")?;
                let kinds = [("AQE", Method::ExpandMean), ("ALPHA", Method::ExpandAlpha)];
                let Some((_, method)) = kinds.into_iter().find(|(word, _)| self.take(word).is_some()) else {
                    return Err(self.expected("AQE or ALPHA", "write EXPAND AQE n=10, or EXPAND ALPHA n=10 alpha=3"));
                };
                search.expand = Some(self.method(span, method)?);
            }
            // It belongs to RERANK.
            Some("AUGMENT") if !self.is_augment_train() => {
                self.once(search.augment.is_some(), "AUGMENT")?;
                search.augment = Some(self.method(span, Method::Augment)?);
            }
            Some(word @ ("SUPERGLOBAL" | "DIFFUSE" | "EXPLORE" | "RECIPROCAL" | "FUSE")) => {
                if let Some(given) = &search.order {
                    return Err(complaints::order_twice(span, word, given));
                }
                self.bump();
                let method = match word {
                    "SUPERGLOBAL" => Method::SuperGlobal,
                    "DIFFUSE" if self.take("FULL").is_some() => Method::DiffuseFull,
                    "DIFFUSE" if self.take("TRANSDUCTIVE").is_some() => Method::DiffuseTransductive,
                    "RECIPROCAL" if self.take("TRANSDUCTIVE").is_some() => Method::ReciprocalTransductive,
                    "DIFFUSE" => Method::Diffuse,
                    "EXPLORE" if self.take("DIRECTED").is_some() => Method::ExploreDirected,
                    "EXPLORE" => Method::Explore,
                    "FUSE" => Method::Fuse,
                    _ => Method::Reciprocal,
                };
                search.order = Some(self.method(span, method)?);
            }
            Some("VERIFY") => {
                let (given, example) = (search.verify.is_some(), DEFAULT_DEPTH.to_string());
                search.verify = Some(self.counted_clause(given, "VERIFY", &example)?);
            }
            Some("MIN") => {
                search.least = Some(self.similarity(search.least.is_some(), ["MIN", "SIMILARITY"], "0.5")?);
            }
            Some("COLLAPSE") => {
                let repeated = search.collapse.is_some();
                search.collapse = Some(self.similarity(repeated, ["COLLAPSE", "NEAR"], &EXAMPLE_NEAR.to_string())?);
            }
            Some("RERANK") => {
                self.once(search.rerank.is_some(), "RERANK")?;
                let node = self.rerank()?;
                search.rerank = Some(Spanned { node, span: self.since(span) });
            }
            Some(_) if self.is_freshness() => {
                search.freshness = Some(self.freshness(search.freshness.as_ref())?);
            }
            Some("INCLUDING") => {
                self.once(search.including_self, "INCLUDING SELF")?;
                if self.take("SELF").is_none() {
                    return Err(
                        self.expected("SELF", "INCLUDING SELF lets a stored query find itself and vote for itself")
                    );
                }
                search.including_self = true;
            }
            Some("RETURN") => {
                self.once(search.columns.is_some(), "RETURN")?;
                search.columns = Some(self.columns()?);
            }
            Some("INTO") => {
                self.once(search.into.is_some(), "INTO")?;
                search.into = Some(self.report()?);
                search.overwrite = self.take("OVERWRITE").is_some();
            }
            _ => return Err(self.complain(|span| self.no_clause(span))),
        }
        Ok(())
    }

    /// The options of a method, whose words begin at `start` and are passed.
    fn method(&mut self, start: Span, method: Method) -> Parse<Spanned<MethodClause>> {
        let mut options = Options::default();
        while let Some(part) = self.word().and_then(|word| options::named(method.parts(), word)) {
            self.option(&mut options, part)?;
        }
        if let Some(word) = self.word().filter(|_| self.equals_follows())
            && let Some(part) = Method::ALL.into_iter().find_map(|other| options::named(other.parts(), word))
        {
            return Err(complaints::not_of_method(self.here(), part, method));
        }
        Ok(Spanned { node: MethodClause { method, options }, span: self.since(start) })
    }

    /// Two words and a cosine without `=`; the first word comes next.
    fn similarity(
        &mut self,
        repeated: bool,
        [first, second]: [&'static str; 2],
        example: &str,
    ) -> Parse<Spanned<Value<f64>>> {
        let (clause, example) = (format!("{first} {second}"), format!("{first} {second} {example}"));
        self.once(repeated, &clause)?;
        if self.take(second).is_none() {
            return Err(self.expected(second, format!("for example {example}")));
        }
        let number = example.rsplit(' ').next().unwrap_or_default();
        self.without_equals(&clause, number)?;
        let outside = |span| complaints::number_range(span, &clause, &interval(COSINES), &example);
        self.finite("the similarity", &example, COSINES, outside)
    }

    /// Passes the first word of the clause, unless the clause was given before.
    pub(super) fn once(&mut self, repeated: bool, clause: &str) -> Parse<()> {
        let span = self.bump();
        if repeated { Err(complaints::repeated_clause(span, clause)) } else { Ok(()) }
    }

    /// The diagnostic for a token where a clause should start.
    fn no_clause(&self, span: Span) -> Diagnostic {
        let typed = self.typed(span);
        match self.peek() {
            Some(Token::Word) => {}
            Some(Token::Bare) => {
                let help = format!("write the image as one text: SEARCH {}", quoted(&complaints::shown(typed)));
                return complaints::missing_quotes(span, typed, help);
            }
            _ => return complaints::unexpected(span, &self.found().unwrap_or_default(), "SEARCH"),
        }
        if let Some(inner) = ["SORT", "INSERT", "tau"].into_iter().find(|inner| inner.eq_ignore_ascii_case(typed)) {
            return complaints::outside_rerank(span, inner);
        }
        if self.is_augment_train() {
            return complaints::outside_rerank(span, Method::AugmentTrain.name());
        }
        if words::contains(&["TRANSDUCTIVE", "FULL", "DIRECTED"], typed) {
            return complaints::outside_method(span, typed);
        }
        if words::is_planned(typed) {
            return complaints::not_in_this_version(span, typed, format!("clauses are {}", words::CLAUSES.join(", ")));
        }
        if typed.eq_ignore_ascii_case("TRAIN") {
            return complaints::train_in_search(span);
        }
        if words::contains(words::STATEMENTS, typed) {
            return complaints::missing_semicolon(span, typed);
        }
        complaints::unknown_clause(span, typed, "SEARCH", words::CLAUSES)
    }

    fn scope(&mut self) -> Parse<Spanned<Scope>> {
        let Some(word) = self.word() else {
            return Err(self.expected("index, train or all", "write IN index, IN train or IN all"));
        };
        let Some(node) = Scope::ALL.into_iter().find(|scope| scope.name().eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_scope(self.here(), word));
        };
        Ok(Spanned { node, span: self.bump() })
    }

    fn conditions(&mut self) -> Parse<Vec<Spanned<Condition<Value<String>>>>> {
        let mut conditions = Vec::new();
        loop {
            let start = self.here();
            if conditions.len() == MAX_CONDITIONS {
                return Err(complaints::conditions_too_many(start));
            }
            let node = self.condition()?;
            conditions.push(Spanned { node, span: self.since(start) });
            if self.is("OR") {
                let help = "AND joins conditions; for OR, run two searches";
                return Err(complaints::not_in_this_version(self.here(), "OR", help));
            }
            if self.take("AND").is_none() {
                return Ok(conditions);
            }
        }
    }

    fn condition(&mut self) -> Parse<Condition<Value<String>>> {
        const EXAMPLE: &str = "for example WHERE label = 'x' AND path LIKE 'trip/%'";
        if let Some(word) = self.word()
            && words::contains(&["NOT", "EXISTS"], word)
        {
            return Err(complaints::not_in_this_version(self.here(), word, EXAMPLE));
        }
        let Some(word) = self.word() else {
            return Err(self.expected("a field", EXAMPLE));
        };
        let Some(field) = Field::ALL.into_iter().find(|field| field.name().eq_ignore_ascii_case(word)) else {
            return Err(complaints::unknown_field(self.here(), word));
        };
        self.bump();
        let like = self.take("LIKE").is_some();
        if !like && !self.take_token(&Token::Equals) {
            return Err(self.expected("= or LIKE", EXAMPLE));
        }
        let span = self.here();
        let (what, takes) = match field {
            Field::Split if !like => ("a split", Takes::Split),
            Field::Id => ("the value of id", Takes::AnyKey),
            _ => ("the value of a condition", Takes::AnyText),
        };
        if let Some(Spanned { node: value, .. }) = self.placeholder(what, takes)? {
            return Ok(Condition { field, like, value });
        }
        let value = match self.peek() {
            // Unlike a name, a value may be empty: it matches nothing, or with LIKE the empty text.
            Some(Token::Text(text)) => {
                self.bump();
                text.clone()
            }
            Some(Token::Word) if field == Field::Split && !like => {
                self.bump();
                self.typed(span).to_owned()
            }
            _ => {
                self.text("a value", |typed| {
                    format!("write {} {} {typed}", field.name(), if like { "LIKE" } else { "=" })
                })?
                .node
            }
        };
        if field != Field::Split || like {
            return Ok(Condition { field, like, value: Value::Typed(value) });
        }
        match Role::named(&value) {
            Some(role) => Ok(Condition { field, like, value: Value::Typed(role.name().to_owned()) }),
            None => Err(complaints::unknown_split(span, &value)),
        }
    }

    fn is_augment_train(&self) -> bool {
        self.is("AUGMENT") && self.word_follows("TRAIN")
    }

    fn rerank(&mut self) -> Parse<RerankClause> {
        let mut rerank = RerankClause::default();
        loop {
            if self.is("SORT") {
                self.once(rerank.sort, "SORT")?;
                rerank.sort = true;
            } else if self.is("INSERT") {
                self.once(rerank.insert, "INSERT")?;
                rerank.insert = true;
            } else if self.is("K") && (self.equals_follows() || rerank.k.is_none()) {
                // Without `=` it is refused: if k is missing, it more likely means k than the depth.
                rerank.k = Some(self.assigned_count(rerank.k.is_some(), "k of RERANK")?);
            } else if self.is("TAU") {
                rerank.tau = Some(self.tau(rerank.tau.is_some())?);
            } else if self.is_augment_train() {
                let start = self.here();
                self.once(rerank.augment.is_some(), "AUGMENT TRAIN")?;
                self.bump();
                rerank.augment = Some(self.method(start, Method::AugmentTrain)?);
            } else {
                return Ok(rerank);
            }
        }
    }

    fn columns(&mut self) -> Parse<Vec<Spanned<Column>>> {
        let column_of = |word: &str| Column::ALL.into_iter().find(|column| column.name().eq_ignore_ascii_case(word));
        let mut columns: Vec<Spanned<Column>> = Vec::new();
        loop {
            let Some(word) = self.word() else {
                return Err(self.expected("a column", "for example RETURN id, similarity, instance"));
            };
            let Some(node) = column_of(word) else {
                return Err(complaints::unknown_column(self.here(), word));
            };
            if columns.iter().any(|column| column.node == node) {
                return Err(complaints::repeated_column(self.here(), node));
            }
            columns.push(Spanned { node, span: self.bump() });
            if self.word().and_then(column_of).is_some() {
                return Err(complaints::missing_comma(self.here(), "columns"));
            }
            if !self.take_token(&Token::Comma) {
                return Ok(columns);
            }
        }
    }
}

/// A search returns no more rows than it searches, and compares no more rows with each other than it can; its methods have
/// options that they take. A parameter is checked once it has its value.
pub(crate) fn check_search(search: &Search) -> Result<(), Diagnostic> {
    let voters = search.rerank.as_ref().map_or(&None, |rerank| &rerank.node.augment);
    let clauses = [
        (voters, Place::Voters, Method::AugmentTrain.name()),
        (&search.expand, Place::Query, "EXPAND"),
        (&search.augment, Place::Index, "AUGMENT"),
        (&search.order, Place::Order, "SUPERGLOBAL, DIFFUSE, EXPLORE, RECIPROCAL or FUSE"),
    ];
    for (clause, place, words) in clauses {
        let Some(Spanned { node: MethodClause { method, options }, span }) = clause else { continue };
        let span = *span;
        if method.place() != place {
            return Err(complaints::expected(span, words, Some(method.name().to_owned()), format!("write {words}")));
        }
        for given in options.iter() {
            if !method.parts().contains(&given.part) {
                return Err(complaints::not_of_method(given.value.span, given.part, *method));
            }
            check_setting(given.part, &given.value)?;
        }
    }
    for Spanned { node: clause, span } in [&search.augment, &search.order].into_iter().flatten() {
        if let Some(scope) = search.scope.as_ref().filter(|scope| scope.node != Scope::Index)
            && clause.method.needs_graph()
        {
            return Err(complaints::graph_of_index(*span, clause.method.name(), scope.span));
        }
    }
    if let (Some(augment), Some(order)) = (&search.augment, &search.order) {
        return Err(complaints::augment_and_order(order.span, order.node.method.name(), augment.span));
    }
    if let (Some(augment), Some(Spanned { node: Mode::Ef(_), span })) = (&search.augment, &search.mode) {
        return Err(complaints::augment_and_ef(*span, augment.span));
    }
    for (clause, value, example) in [
        ("MIN SIMILARITY", &search.least, "MIN SIMILARITY 0.5".to_owned()),
        ("COLLAPSE NEAR", &search.collapse, format!("COLLAPSE NEAR {EXAMPLE_NEAR}")),
    ] {
        if let Some(Spanned { node: Value::Typed(value), span }) = value
            && !COSINES.contains(value)
        {
            return Err(complaints::number_range(*span, clause, &interval(COSINES), &example));
        }
    }
    if let (Some(collapse), Some(Spanned { node: Value::Typed(depth), span })) = (&search.collapse, &search.depth)
        && *depth > MAX_COLLAPSED
    {
        return Err(complaints::collapse_too_deep(*span, collapse.span));
    }
    let depth = match &search.depth {
        None => None,
        Some(Spanned { node: Value::Typed(depth), .. }) => Some(*depth),
        Some(_) => return Ok(()),
    };
    let above = |given: &Option<Spanned<Value<usize>>>| match given {
        Some(Spanned { node: Value::Typed(given), span }) => {
            Some((*span, *given)).filter(|_| *given > depth.unwrap_or(DEFAULT_DEPTH))
        }
        _ => None,
    };
    if let Some((span, verified)) = above(&search.verify) {
        return Err(complaints::verify_above_depth(span, verified, depth));
    }
    above(&search.limit).map_or(Ok(()), |(span, limit)| Err(complaints::limit_above_depth(span, limit, depth)))
}
