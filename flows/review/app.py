"""The application behind the review page: its paths, and what an error becomes."""

import mimetypes
from importlib import resources
from typing import Annotated, Any

import yaml
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from clean_corpus.flows.review import agreement, filters, queries, thresholds
from clean_corpus.flows.review.corpus import Corpus, NoClip, Open
from clean_corpus.flows.review.detail import detail
from clean_corpus.flows.review.sounds import part_of
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.surroundings import explained
from clean_corpus.pipeline.core.types import Version

ASSETS = {file.name: file.read_bytes() for file in (resources.files(__package__) / "page").iterdir() if file.is_file()}
"""The files of the page by name; a request names one of them or nothing."""

IN_SESSION = {"Cache-Control": "private, max-age=3600"}  # the page's addresses of sounds name the version
MAX_CLIPS = 10_000  # of one decision

FilterText = Annotated[str | None, Query(alias="filter", max_length=100_000)]


class NewDecision(BaseModel):
    """What the page sends when somebody decides."""

    model_config = ConfigDict(extra="forbid")

    clip_ids: list[str] = Field(min_length=1, max_length=MAX_CLIPS)
    what: str
    value: str | list[str] | None = None  # a list: what an undo takes back of each clip


def make_app(opened: Open, output: str) -> FastAPI:
    """Return the application over a corpus; who may ask is not its matter, but that of `access.Access`."""
    # nothing is told to anybody's telemetry: addresses hold the token
    silent = {"auto_configure": False, "tracing": False, "metrics": False, "logs": False}
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=silent)
    _explain_errors(app)
    _add_page(app, opened)
    _add_table(app, opened, output)
    _add_clips(app, opened)
    _add_decisions(app, opened)
    _add_thresholds(app, opened)
    return app


def _explain_errors(app: FastAPI) -> None:
    def said(words: object, status: int) -> JSONResponse:
        return JSONResponse({"error": str(words)}, status)

    app.add_exception_handler(CleanCorpusError, lambda _, error: said(error, 409))
    app.add_exception_handler(ConfigError, lambda _, error: said(error, 400))
    app.add_exception_handler(HTTPException, lambda _, error: said(error.detail, error.status_code))
    app.add_exception_handler(RequestValidationError, lambda _, error: said(_first(error), 400))
    app.add_exception_handler(Exception, lambda _, error: said(explained(error) or _bug(error), 500))
    app.add_exception_handler(NoClip, lambda _, error: said(error, 404))


def _bug(error: Exception) -> str:
    return f"this is a bug: {type(error).__name__}: {error}; the server's terminal has more"


def _first(error: RequestValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


# ---- the page --------------------------------------------------------------------------------------------------


def _add_page(app: FastAPI, opened: Open) -> None:
    def asset(name: str) -> Response:
        if name not in ASSETS:
            raise HTTPException(404, "no such file of the page")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(ASSETS[name], media_type=kind)

    @app.get("/")
    def index() -> Response:
        return asset("index.html")

    @app.get("/page/{name}")
    def file_of_page(name: str) -> Response:
        return asset(name)

    listed: set[str] = set()

    @app.get("/report/{name:path}")
    def file_of_report(name: str) -> Response:
        key = f"report/{name or 'index.html'}"
        if key not in listed or key.endswith(".html"):  # pages come first, and may be of another version by now
            listed.clear()
            listed.update(opened.store.walk("report"))
        if key not in listed:  # looked up, never joined to a path
            raise HTTPException(404, "no such file of the report")
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        return Response(opened.store.read(key), media_type=kind)


# ---- the table -------------------------------------------------------------------------------------------------


def _add_table(app: FastAPI, opened: Open, output: str) -> None:
    @app.get("/api/corpus")
    def corpus() -> dict[str, Any]:
        shown = opened.look()
        shown.deciding.look()
        return shown.facts(output)

    @app.get("/api/clips")
    def clips(
        filter_: FilterText = None,
        sort: str = "clip_id",
        descending: bool | None = None,
        seed: int = 0,
        offset: Annotated[int, Query(ge=0, le=2**40)] = 0,
        limit: Annotated[int, Query(ge=0, le=queries.MAX_PAGE)] = 100,
    ) -> dict[str, Any]:
        shown, asked = opened.look(), filters.parse(filter_)
        shown.deciding.look()
        page = queries.page(shown.table, asked, sort=sort, descending=descending, seed=seed, offset=offset, limit=limit)
        return page.totals | {"version": shown.manifest.version, "clips": shown.clips(page.rows)}

    @app.get("/api/facets")
    def facets(filter_: FilterText = None) -> dict[str, Any]:
        return queries.facets(opened.corpus.table, filters.parse(filter_))

    @app.get("/api/histograms")
    def histograms(filter_: FilterText = None, bins: int = 40) -> dict[str, Any]:
        return queries.histograms(opened.corpus.table, filters.parse(filter_), bins=bins)


# ---- one clip --------------------------------------------------------------------------------------------------


def _add_clips(app: FastAPI, opened: Open) -> None:
    @app.get("/api/clips/{clip_id}")
    def clip(clip_id: str) -> dict[str, Any]:
        return detail(opened.corpus, clip_id)

    @app.get("/api/clips/{clip_id}/audio/around")
    def around(clip_id: str, seconds: float = 3.0, range_: Annotated[str | None, Header(alias="range")] = None):
        sound, start_s = opened.corpus.surroundings.around(opened.corpus.whole(clip_id), seconds)
        return _audio(sound.wav(), range_, {"X-Start-S": f"{start_s:.6f}"})

    @app.get("/api/clips/{clip_id}/audio/{version}")
    def audio(clip_id: str, version: Version, range_: Annotated[str | None, Header(alias="range")] = None):
        shown = opened.corpus
        if (sound := shown.sounds.of(shown.whole(clip_id), version)) is None:
            raise _absent(shown, clip_id, version)
        return _audio(sound.wav(), range_, {})

    @app.get("/api/clips/{clip_id}/spectrogram/{version}")
    def spectrogram(clip_id: str, version: Version):
        shown = opened.corpus
        if (picture := shown.sounds.spectrogram(shown.whole(clip_id), version)) is None:
            raise _absent(shown, clip_id, version)
        return Response(picture, media_type="image/png", headers=IN_SESSION)

    @app.get("/api/clips/{clip_id}/peaks/{version}")
    def peaks(clip_id: str, version: Version, width: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> dict[str, Any]:
        shown = opened.corpus
        if (found := shown.sounds.peaks(shown.whole(clip_id), version, width)) is None:
            raise _absent(shown, clip_id, version)
        return found


def _absent(shown: Corpus, clip_id: str, version: Version) -> HTTPException:
    is_made = shown.whole(clip_id)[f"{version}_shard"] is not None
    why = "its tar in work/ is gone; `clean-corpus run` makes it anew" if is_made else "there is none"
    return HTTPException(404, f"clip {clip_id}: no {version} version: {why}")


def _audio(data: bytes, asked: str | None, headers: dict[str, str]) -> Response:
    headers = headers | IN_SESSION | {"Accept-Ranges": "bytes"}
    try:
        part = part_of(asked, len(data))
    except DataError as error:
        return JSONResponse({"error": str(error)}, 416, {"Content-Range": f"bytes */{len(data)}"})
    if part is None:
        return Response(data, media_type="audio/wav", headers=headers)
    first, last = part
    headers |= {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
    return Response(data[first : last + 1], 206, headers, media_type="audio/wav")


# ---- decisions -------------------------------------------------------------------------------------------------


def _add_decisions(app: FastAPI, opened: Open) -> None:
    @app.post("/api/decisions")
    def decide(decision: NewDecision, request: Request) -> dict[str, Any]:
        _require_json(request)
        shown = opened.corpus
        rows = [shown.row_of(clip_id) for clip_id in dict.fromkeys(decision.clip_ids)]
        stored = shown.deciding.decide(rows, decision.what, decision.value)
        fields = {"id", "clip_id", "at", "by", "what", "value"}
        return {
            "stored": [entry.model_dump(mode="json", include=fields) for entry in stored],
            "clips": shown.clips(rows),
            "pending": shown.deciding.count(),
        }

    @app.get("/api/pending")
    def pending() -> dict[str, Any]:
        shown = opened.look()
        shown.deciding.look()
        return {"version": shown.manifest.version} | shown.deciding.pending()

    @app.post("/api/publish")
    def publish(request: Request) -> dict[str, Any]:
        _require_json(request)
        done = opened.publish()
        left = [change.old["clip_id"] for change in done.left]
        return {"version": done.manifest.version, "changed": len(done.applied), "left": left}


def _require_json(request: Request) -> None:
    """Refuse what a form of another page could send.

    Raises: HTTPException.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(400, "send JSON, with its Content-Type")


# ---- thresholds ------------------------------------------------------------------------------------------------


def _add_thresholds(app: FastAPI, opened: Open) -> None:
    MovedText = Annotated[str | None, Query(max_length=10_000)]

    @app.get("/api/thresholds")
    def moved(moved: MovedText = None) -> dict[str, Any]:
        return queries.moved(opened.corpus.table, filters.parse_moved(moved))

    @app.get("/api/thresholds.yaml")
    def settings(moved: MovedText = None) -> Response:
        shown = opened.corpus
        gate = thresholds.moved_gate(shown.config.gate, filters.parse_moved(moved))
        text = yaml.safe_dump(thresholds.as_settings(gate, shown.manifest.run), sort_keys=False, allow_unicode=True)
        headers = {"Content-Disposition": 'attachment; filename="run.yaml"'}
        return Response(text, media_type="application/yaml", headers=headers)

    @app.get("/api/agreement")
    def agreed() -> dict[str, Any]:
        opened.corpus.deciding.look()
        return agreement.agreement(opened.corpus)
