//! The places in a statement: all of them, and the statement without them.

use cairndb_query::{
    Clean, Image, MethodClause, Options, Recognize, RerankClause, Search, Span, Spanned, Statement, Train,
};

/// Statements are compared without their places: the printed text has its own.
pub(crate) fn spanned<T>(node: T) -> Spanned<T> {
    Spanned { node, span: Span::default() }
}

fn bare<T>(part: Option<Spanned<T>>) -> Option<Spanned<T>> {
    part.map(|part| spanned(part.node))
}

fn without_places(options: &Options) -> Options {
    let mut bare = Options::default();
    options.iter().for_each(|given| bare.set(given.part, spanned(given.value.node)));
    bare
}

fn method_without_places(clause: Spanned<MethodClause>) -> Spanned<MethodClause> {
    let MethodClause { method, options } = clause.node;
    spanned(MethodClause { method, options: without_places(&options) })
}

pub(crate) fn without_spans(statement: Statement) -> Statement {
    let clear_image = |image: Spanned<Image>| spanned(image.node);
    match statement {
        Statement::Search(search) => Statement::Search(Box::new(Search {
            image: clear_image(search.image),
            scope: search.scope.map(|part| spanned(part.node)),
            filter: search.filter.into_iter().map(|part| spanned(part.node)).collect(),
            depth: search.depth.map(|part| spanned(part.node)),
            limit: search.limit.map(|part| spanned(part.node)),
            mode: search.mode.map(|part| spanned(part.node)),
            expand: search.expand.map(method_without_places),
            augment: search.augment.map(method_without_places),
            order: search.order.map(method_without_places),
            verify: search.verify.map(|part| spanned(part.node)),
            least: bare(search.least),
            collapse: bare(search.collapse),
            rerank: search.rerank.map(|part| {
                spanned(RerankClause {
                    k: part.node.k.map(|k| spanned(k.node)),
                    tau: part.node.tau.map(|tau| spanned(tau.node)),
                    augment: part.node.augment.map(method_without_places),
                    ..part.node
                })
            }),
            freshness: search.freshness.map(|part| spanned(part.node)),
            including_self: search.including_self,
            columns: search.columns.map(|columns| columns.into_iter().map(|part| spanned(part.node)).collect()),
            into: search.into.map(|part| spanned(part.node)),
            overwrite: search.overwrite,
        })),
        Statement::Predict { image, k, freshness } => Statement::Predict {
            image: clear_image(image),
            k: k.map(|k| spanned(k.node)),
            freshness: freshness.map(|part| spanned(part.node)),
        },
        Statement::Recognize(recognize) => Statement::Recognize(Box::new(Recognize {
            image: clear_image(recognize.image),
            n: recognize.n.map(|part| spanned(part.node)),
            verify: recognize.verify,
            least: recognize.least.map(|part| spanned(part.node)),
            distractors: recognize.distractors.map(|part| spanned(part.node)),
            freshness: recognize.freshness.map(|part| spanned(part.node)),
            into: recognize.into.map(|part| spanned(part.node)),
            overwrite: recognize.overwrite,
        })),
        Statement::Put { key, image, role, label, overwrite } => Statement::Put {
            key: spanned(key.node),
            image: clear_image(image),
            role: role.map(|part| spanned(part.node)),
            label: label.map(|part| spanned(part.node)),
            overwrite,
        },
        Statement::Delete { key } => Statement::Delete { key: spanned(key.node) },
        Statement::Label { key, label } => Statement::Label { key: spanned(key.node), label: spanned(label.node) },
        Statement::Unlabel { key } => Statement::Unlabel { key: spanned(key.node) },
        Statement::Backup { folder } => Statement::Backup { folder: spanned(folder.node) },
        Statement::BackupVerify { folder } => Statement::BackupVerify { folder: spanned(folder.node) },
        Statement::BackupRestore { from, to } => {
            Statement::BackupRestore { from: spanned(from.node), to: spanned(to.node) }
        }
        Statement::ShowSuspects { limit } => Statement::ShowSuspects { limit: bare(limit) },
        Statement::Train(train) => Statement::Train(Box::new(Train {
            options: without_places(&train.options),
            from: bare(train.from),
            flip: bare(train.flip),
        })),
        Statement::Clean(clean) => Statement::Clean(Box::new(Clean {
            options: without_places(&clean.options),
            rule: bare(clean.rule),
            cut: bare(clean.cut),
            action: bare(clean.action),
            dry_run: clean.dry_run,
            into: bare(clean.into),
            overwrite: clean.overwrite,
        })),
        Statement::Reembed { model } => Statement::Reembed { model: bare(model) },
        Statement::ShowClean { number } => Statement::ShowClean { number: spanned(number.node) },
        Statement::UseModel { number } => Statement::UseModel { number: spanned(number.node) },
        Statement::DropModel { number, force } => Statement::DropModel { number: spanned(number.node), force },
        Statement::ShowStatus
        | Statement::ShowLabels
        | Statement::ShowSegments
        | Statement::ShowStale
        | Statement::ShowCleans
        | Statement::ShowMarked
        | Statement::ShowModels
        | Statement::UndoClean
        | Statement::UndoLabel
        | Statement::Flush
        | Statement::Compact { .. }
        | Statement::Check { .. } => statement,
        Statement::Explain { analyze, statement } => {
            Statement::Explain { analyze, statement: Box::new(spanned(without_spans(statement.node))) }
        }
    }
}

/// All places of a statement; none is empty.
pub(crate) fn spans(statement: &Spanned<Statement>) -> Vec<Span> {
    let mut spans = vec![statement.span];
    match &statement.node {
        Statement::Search(search) => {
            spans.push(search.image.span);
            spans.extend(search.scope.iter().map(|part| part.span));
            spans.extend(search.filter.iter().map(|part| part.span));
            spans.extend(search.depth.iter().chain(&search.limit).chain(&search.verify).map(|part| part.span));
            spans.extend(search.mode.iter().map(|part| part.span));
            for method in search.expand.iter().chain(&search.order) {
                spans.push(method.span);
                spans.extend(method.node.options.iter().map(|given| given.value.span));
            }
            spans.extend(search.least.iter().chain(&search.collapse).map(|part| part.span));
            if let Some(rerank) = &search.rerank {
                spans.push(rerank.span);
                spans.extend(rerank.node.k.iter().map(|part| part.span));
                spans.extend(rerank.node.tau.iter().map(|part| part.span));
                if let Some(method) = &rerank.node.augment {
                    spans.push(method.span);
                    spans.extend(method.node.options.iter().map(|given| given.value.span));
                }
            }
            spans.extend(search.freshness.iter().map(|part| part.span));
            spans.extend(search.columns.iter().flatten().map(|part| part.span));
            spans.extend(search.into.iter().map(|part| part.span));
        }
        Statement::Predict { image, k, freshness } => {
            spans.push(image.span);
            spans.extend(k.iter().map(|part| part.span));
            spans.extend(freshness.iter().map(|part| part.span));
        }
        Statement::Recognize(recognize) => {
            spans.push(recognize.image.span);
            spans.extend(recognize.n.iter().map(|part| part.span));
            spans.extend(recognize.least.iter().map(|part| part.span));
            spans.extend(recognize.distractors.iter().map(|part| part.span));
            spans.extend(recognize.freshness.iter().map(|part| part.span));
            spans.extend(recognize.into.iter().map(|part| part.span));
        }
        Statement::Put { key, image, role, label, .. } => {
            spans.extend([key.span, image.span]);
            spans.extend(role.iter().map(|part| part.span));
            spans.extend(label.iter().map(|part| part.span));
        }
        Statement::Delete { key } | Statement::Unlabel { key } => spans.push(key.span),
        Statement::Label { key, label } => spans.extend([key.span, label.span]),
        Statement::Backup { folder } | Statement::BackupVerify { folder } => spans.push(folder.span),
        Statement::BackupRestore { from, to } => spans.extend([from.span, to.span]),
        Statement::ShowSuspects { limit } => spans.extend(limit.iter().map(|part| part.span)),
        Statement::Train(train) => {
            spans.extend(train.options.iter().map(|given| given.value.span));
            spans.extend(train.from.iter().map(|part| part.span));
            spans.extend(train.flip.iter().map(|part| part.span));
        }
        Statement::Clean(clean) => {
            spans.extend(clean.options.iter().map(|given| given.value.span));
            spans.extend(clean.rule.iter().map(|part| part.span));
            spans.extend(clean.cut.iter().map(|part| part.span));
            spans.extend(clean.action.iter().map(|part| part.span));
            spans.extend(clean.into.iter().map(|part| part.span));
        }
        Statement::Reembed { model } => spans.extend(model.iter().map(|part| part.span)),
        Statement::ShowClean { number } | Statement::UseModel { number } | Statement::DropModel { number, .. } => {
            spans.push(number.span);
        }
        Statement::ShowStatus
        | Statement::ShowLabels
        | Statement::ShowSegments
        | Statement::ShowStale
        | Statement::ShowCleans
        | Statement::ShowMarked
        | Statement::ShowModels
        | Statement::UndoClean
        | Statement::UndoLabel
        | Statement::Flush
        | Statement::Compact { .. }
        | Statement::Check { .. } => {}
        Statement::Explain { statement, .. } => spans.extend(self::spans(statement)),
    }
    assert!(spans.iter().all(|span| span.start < span.end), "an empty place in {statement:?}");
    spans
}
