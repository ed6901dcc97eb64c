// Generated from query/api/openapi.json by "npm run types". Do not edit.

export interface paths {
    "/api/v1/coldstarts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Cold starts
         * @description How long cold starts took, as a whole and by phase, and what they waited for.
         */
        get: operations["get-cold-starts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/coldstarts/compare": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Two selections of cold starts
         * @description Two selections of finished starts side by side, phase by phase: a version with another, a digest with another, this hour with yesterday's.
         */
        get: operations["compare-cold-starts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/coldstarts/distributions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Cold starts by what they have in common
         * @description Percentiles and histograms of how long finished starts and their phases took, by version, digest, host, hour and others.
         */
        get: operations["get-cold-start-distributions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/coldstarts/history": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Cold starts over time
         * @description How long finished starts and their phases took, by steps of time.
         */
        get: operations["get-cold-start-history"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/export/coldstarts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Cold starts as a file
         * @description All that the filters mean, by function and time: NDJSON, CSV with a header, or Parquet. It is sent while it is read; where it cannot be finished, the connection breaks.
         */
        get: operations["export-cold-starts"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/export/lines": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Lines as a file
         * @description All that the filters mean, by function and time: NDJSON, CSV with a header, or Parquet. It is sent while it is read; where it cannot be finished, the connection breaks.
         */
        get: operations["export-lines"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/export/requests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Requests as a file
         * @description All that the filters mean, by function and time: NDJSON, CSV with a header, or Parquet. It is sent while it is read; where it cannot be finished, the connection breaks.
         */
        get: operations["export-requests"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/functions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Functions
         * @description What each function did in a time range.
         */
        get: operations["list-functions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/functions/versions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Versions of a function
         * @description What each version of a function did, and which images its starts had.
         */
        get: operations["list-function-versions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Images
         * @description The images that were started: their size, how often they were pulled, what was on the hosts already, and how much time that took.
         */
        get: operations["list-images"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/instances": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Instances
         * @description Instances with how they were started, how they ended and what they handled; each life of one that came back by itself. With sort=start, the slowest cold starts. Pass next_cursor as cursor to read on.
         */
        get: operations["list-instances"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/layers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Layers
         * @description The layers that starts needed: their size, how often they were pulled, how often they were on the host already, and how much time that took.
         */
        get: operations["list-layers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lines": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Lines
         * @description Lines in the order of time. Pass next_cursor as cursor to read on; what arrives meanwhile does not shift the pages.
         */
        get: operations["search-lines"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lines/{file_id}/{offset}/context": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Lines around a line
         * @description A line, and what was printed before and after it.
         */
        get: operations["get-line-context"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lines/histogram": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Lines over time
         * @description How many lines there were, by steps of time: from figures by the minute where they can answer, else from the lines; exact either way.
         */
        get: operations["get-line-histogram"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/lines/tail": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Live tail
         * @description Lines as they are written, as server-sent events: line (a line as in the answer of search-lines), skipped (lines were left out because the client or the store is too slow), problem (the store cannot be asked; the tail goes on when it can). A comment comes every ten seconds. A client that connects again with Last-Event-ID gets what came meanwhile, up to 15 minutes of it; a line may then come twice, file_id and offset tell.
         */
        get: operations["tail-lines"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/requests": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Requests
         * @description Requests, newest first. Pass next_cursor as cursor to read on; what arrives meanwhile does not shift the pages.
         */
        get: operations["list-requests"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/requests/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Request
         * @description One request: its newest attempt, the start that it waited for, and its lines. Where nobody has told of the request, what its own lines say of it.
         */
        get: operations["get-request"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/volume": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Volume
         * @description How many lines there were, by steps of time, severity and stream.
         */
        get: operations["get-volume"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        Advice: {
            /** @description The facts of this start that it rests on */
            evidence: string;
            /** @enum {string} */
            kind: "queue" | "image-size" | "registry-bandwidth" | "layer-cache" | "init" | "provisioned";
            /**
             * Format: double
             * @description What it would have saved of this start, at most
             */
            saves_ms: number;
            title: string;
        };
        Besides: {
            /** @description One sentence */
            evidence: string;
            /** @enum {string} */
            kind: "retry" | "host-without-image";
        };
        Bucket: {
            /** Format: int64 */
            count: number;
            /**
             * Format: double
             * @description It counts what took at most so long and longer than the bucket before; absent: no end
             */
            le_ms?: number;
        };
        Cause: {
            /** @description What else made the start come, or long */
            besides?: components["schemas"]["Besides"][];
            /** @description One sentence */
            evidence: string;
            facts: components["schemas"]["CauseFacts"];
            /** @enum {string} */
            kind: "first-start" | "new-version" | "new-image" | "new-configuration" | "out-of-memory" | "crash" | "timeout" | "failed-start" | "retry" | "provisioned" | "spill-over" | "scale-out" | "idle-reclaim" | "unknown";
        };
        CauseFacts: {
            /**
             * Format: int64
             * @description Those of them that were serving one
             */
            busy_instances: number;
            /** @description Against the function's start before */
            changed?: components["schemas"]["Change"][];
            /** @description Of the request that demanded the instance */
            earlier_attempt?: components["schemas"]["EarlierAttempt"];
            /**
             * Format: int64
             * @description Of the function, that are stored; 1000 at most
             */
            earlier_starts: number;
            /** @description Other hosts that had the image; 10 at most */
            image_hosts?: string[];
            /**
             * Format: int64
             * @description Requests that the ready instances were serving
             */
            in_flight: number;
            /** @description The instance that had stopped last */
            last_stopped?: components["schemas"]["StoppedInstance"];
            /**
             * Format: int64
             * @description Those of the ready ones that were held ready in advance
             */
            provisioned_instances: number;
            /**
             * Format: int64
             * @description That could have served a request
             */
            ready_instances: number;
            /** Format: int64 */
            starting_instances: number;
        };
        Change: {
            after: string;
            before: string;
            /** @enum {string} */
            what: "version" | "digest" | "memory_limit";
        };
        ColdStart: {
            /** @description Why there was a start at all; on the request's page only */
            cause?: components["schemas"]["Cause"];
            /**
             * Format: double
             * @description The platform's clock is so far ahead of that of the instance's host, which stamps the lines; absent if nothing says that it is another one
             */
            clock_offset_ms?: number;
            /** @description What the start waited for, from demanded_at to ready_at without gaps */
            critical_path: components["schemas"]["Segment"][];
            /** Format: date-time */
            demanded_at?: string;
            digest?: string;
            /** Format: int32 */
            exit_code?: number;
            function: string;
            host?: string;
            image?: string;
            /**
             * Format: int64
             * @description Compressed, as the registry holds it
             */
            image_bytes?: number;
            /** @enum {string} */
            initialization?: "on-demand" | "provisioned";
            instance: string;
            layers: components["schemas"]["Layer"][];
            /**
             * Format: int32
             * @description 0, unless the instance had stopped and was started again under its name
             */
            life?: number;
            /**
             * Format: int64
             * @description Bytes
             */
            memory_limit?: number;
            namespace: string;
            /** @description The instance was killed for its memory */
            oom?: boolean;
            /**
             * Format: double
             * @description Part of total_ms that no phase explains
             */
            other_ms: number;
            /** @description In order of their start; critical_ms and other_ms add up to total_ms */
            phases: components["schemas"]["Phase"][];
            /**
             * Format: date-time
             * @description Absent while it starts, or if the start failed
             */
            ready_at?: string;
            region?: string;
            registry?: string;
            /** @description The request that demanded the instance */
            request_id?: string;
            stop_reason?: string;
            /** Format: date-time */
            stopped_at?: string;
            /**
             * Format: double
             * @description From demanded_at to ready_at; of an unfinished start up to the last thing known
             */
            total_ms: number;
            version: string;
            /** @description The requests that waited behind it, the one that demanded it aside; on the request's page only */
            waiting?: components["schemas"]["Waiting"];
        };
        ColdStartStats: {
            /**
             * Format: int64
             * @description Finished starts that the figures are made of
             */
            count: number;
            /** @description What no phase explains */
            other: components["schemas"]["PhaseStats"];
            /** @description In the order of a start; only those that occurred */
            phases: components["schemas"]["PhaseStats"][];
            /** @description All starts, newest demand first */
            recent: components["schemas"]["ColdStartSummary"][];
            /** @description Finished starts, slowest first */
            slowest: components["schemas"]["ColdStartSummary"][];
            /** @description From the demand to readiness */
            total: components["schemas"]["Distribution"];
            /** @description There are more starts; the figures are made of the newest */
            truncated?: boolean;
            /**
             * Format: int64
             * @description Starts that failed or are not ready yet; not in the figures
             */
            unfinished: number;
        };
        ColdStartSummary: {
            /** Format: date-time */
            demanded_at: string;
            digest?: string;
            function: string;
            host?: string;
            /** Format: int64 */
            image_bytes?: number;
            /** @enum {string} */
            initialization?: "on-demand" | "provisioned";
            instance: string;
            /**
             * Format: double
             * @description That share
             */
            longest_ms?: number;
            /** @description The phase with the largest share of the critical path */
            longest_phase?: string;
            namespace: string;
            /** Format: date-time */
            ready_at?: string;
            /** @description The request that demanded it */
            request_id?: string;
            /** @description Why it ended, of a start that never became ready */
            stop_reason?: string;
            /** Format: double */
            total_ms: number;
            version: string;
        };
        ComparedPhase: {
            /** @description Absent if no start of the selection has it */
            a?: components["schemas"]["StartDistribution"];
            b?: components["schemas"]["StartDistribution"];
            /** Format: double */
            mean_ms?: number;
            /**
             * Format: double
             * @description What b takes longer than a
             */
            p50_ms?: number;
            /** Format: double */
            p95_ms?: number;
            /** @description A phase, or total */
            phase: string;
        };
        Completeness: {
            /** @description Pieces of the instance's log files that nobody can read any more and that may be from the time of the request */
            gaps: components["schemas"]["Gap"][];
            /**
             * Format: int64
             * @description Lines that were read long after they were written, of the log files with lines from the time of the request; nothing of them is missing
             */
            late_lines: number;
            /**
             * Format: int64
             * @description Of all gaps, as far as their sizes are known
             */
            lost_bytes: number;
            /**
             * Format: int64
             * @description Lines that could not be stored, of the log files with lines from the time of the request
             */
            refused_lines: number;
            /**
             * @description unknown until the collector's account of the log files covers the request: up to a minute after the next line, or until the file ends; for ever if the sender of the lines keeps no such account, or if nobody tells when the request ended
             * @enum {string}
             */
            state: "complete" | "partial" | "unknown";
            /**
             * Format: int64
             * @description Lines whose ends were cut off before they were stored
             */
            truncated_lines: number;
        };
        Distribution: {
            /** Format: int64 */
            count: number;
            /** Format: double */
            max_ms: number;
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p90_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
        };
        EarlierAttempt: {
            /** Format: date-time */
            ended_at?: string;
            instance: string;
            /** Format: date-time */
            started_at: string;
            /** @enum {string} */
            status: "ok" | "error" | "timeout" | "oom" | "cancelled" | "running";
        };
        ErrorDetail: {
            /** @description Where the error occurred, e.g. 'body.items[3].tags' or 'path.thing-id' */
            location?: string;
            /** @description Error message text */
            message?: string;
            /** @description The value at the given location */
            value?: unknown;
        };
        ErrorModel: {
            /**
             * @description A human-readable explanation specific to this occurrence of the problem.
             * @example Property foo is required but is missing.
             */
            detail?: string;
            /** @description Optional list of individual error details */
            errors?: components["schemas"]["ErrorDetail"][] | null;
            /**
             * Format: uri
             * @description A URI reference that identifies the specific occurrence of the problem.
             * @example https://example.com/error-log/abc123
             */
            instance?: string;
            /**
             * Format: int64
             * @description HTTP status code
             * @example 400
             */
            status?: number;
            /**
             * @description A short, human-readable summary of the problem type. This value should not change between occurrences of the error.
             * @example Bad Request
             */
            title?: string;
            /**
             * Format: uri
             * @description A URI reference to human-readable documentation for the error.
             * @default about:blank
             * @example https://example.com/errors/example
             */
            type: string;
        };
        FoundLine: {
            /** @description What the line says in fields, its time, level, message and request aside */
            attributes?: {
                [key: string]: string;
            };
            /**
             * @description The evidence by which the line got its request
             * @enum {string}
             */
            attribution: "explicit" | "window" | "init" | "late" | "ambiguous" | "none";
            body: string;
            /** @description The requests that an ambiguous line may belong to */
            candidates?: string[];
            /** @description The log file's generation, 16 hex digits */
            file_id: string;
            function: string;
            host?: string;
            instance: string;
            /**
             * @description What the line says of itself; unknown if it says nothing
             * @enum {string}
             */
            level: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown";
            namespace: string;
            /**
             * Format: int64
             * @description Of the line's first byte in that file
             */
            offset: number;
            request_id?: string;
            span_id?: string;
            /** @enum {string} */
            stream: "stdout" | "stderr" | "platform";
            trace_id?: string;
            /**
             * Format: int64
             * @description Bytes cut from the end of body
             */
            truncated?: number;
            /** Format: date-time */
            ts: string;
            version: string;
        };
        Function: {
            /**
             * Format: int64
             * @description Invocations that waited for a start
             */
            cold: number;
            /**
             * Format: double
             * @description cold / invocations
             */
            cold_ratio: number;
            /**
             * Format: double
             * @description errors / invocations
             */
            error_ratio: number;
            /**
             * Format: int64
             * @description Invocations that ended as error, timeout or oom
             */
            errors: number;
            function: string;
            /** Format: int64 */
            invocations: number;
            /**
             * Format: date-time
             * @description Start of the newest invocation
             */
            last_seen: string;
            namespace: string;
            /**
             * Format: double
             * @description Of the time in the handler; absent while no invocation has ended
             */
            p50_ms?: number;
            /** Format: double */
            p95_ms?: number;
            /** Format: double */
            p99_ms?: number;
        };
        FunctionDigest: {
            digest: string;
            /** Format: date-time */
            first_seen: string;
            /** Format: date-time */
            last_seen: string;
            /** Format: int64 */
            starts: number;
        };
        FunctionList: {
            /** @description Most invocations first */
            functions: components["schemas"]["Function"][];
            /** @description There are more functions than this */
            truncated?: boolean;
        };
        FunctionVersion: {
            /**
             * Format: int64
             * @description Invocations that waited for a start
             */
            cold: number;
            /**
             * Format: double
             * @description cold / invocations; 0 if there are none
             */
            cold_ratio: number;
            /** @description Images of its starts, the newest first */
            digests: components["schemas"]["FunctionDigest"][];
            /**
             * Format: double
             * @description errors / invocations; 0 if there are none
             */
            error_ratio: number;
            /**
             * Format: int64
             * @description Invocations that ended as error, timeout or oom
             */
            errors: number;
            /**
             * Format: date-time
             * @description Start of the first invocation in the range, to the minute; absent if there are none
             */
            first_seen?: string;
            /** Format: int64 */
            invocations: number;
            /**
             * Format: date-time
             * @description Start of the newest invocation
             */
            last_seen?: string;
            /**
             * Format: double
             * @description Of the time in the handler; absent while no invocation has ended
             */
            p50_ms?: number;
            /** Format: double */
            p95_ms?: number;
            /** Format: double */
            p99_ms?: number;
            version: string;
        };
        FunctionVersionList: {
            /** @description The newest first */
            versions: components["schemas"]["FunctionVersion"][];
        };
        Gap: {
            /**
             * Format: int64
             * @description 0: not known
             */
            bytes: number;
            /** @description The log file's generation, 16 hex digits; empty if it was never opened */
            file_id: string;
            /**
             * Format: date-time
             * @description The lost lines are not from before this; absent if that is not known
             */
            from?: string;
            /** @description Of the collector that found it */
            host?: string;
            /**
             * Format: int64
             * @description Of its first byte in that file
             */
            offset: number;
            /**
             * @description vanished: the file was deleted while no collector ran; pinned: deleted files held more than their limit; truncated: the file was truncated before it was read; spool: what was saved became too much or too old
             * @enum {string}
             */
            reason: "vanished" | "pinned" | "truncated" | "spool";
            /**
             * Format: date-time
             * @description The lost lines are not from after this
             */
            to: string;
        };
        Histogram: {
            /** @description In the order of time; steps without lines are left out */
            counts: components["schemas"]["LineCount"][];
            /**
             * Format: double
             * @description Length of the steps
             */
            step_ms: number;
        };
        Image: {
            /**
             * Format: int64
             * @description Compressed, as the registry holds it
             */
            bytes?: number;
            /**
             * Format: int64
             * @description Of those, how many were on the host already
             */
            cache_hits: number;
            digest: string;
            /**
             * Format: date-time
             * @description Demand of its first start in the range
             */
            first_seen?: string;
            /**
             * Format: int64
             * @description How many functions it is the image of
             */
            functions: number;
            /**
             * Format: int64
             * @description How many hosts it was started on
             */
            hosts: number;
            /** @description One of its names */
            image?: string;
            /** Format: date-time */
            last_seen?: string;
            /**
             * Format: int64
             * @description Layers that starts needed, in all starts
             */
            layers: number;
            /**
             * Format: int64
             * @description Of the layers that were not on the host, in all starts
             */
            loaded_bytes: number;
            /**
             * Format: double
             * @description Spent on pulling it, in all starts
             */
            pull_ms: number;
            /**
             * Format: int64
             * @description Starts that pulled something of it
             */
            pulls: number;
            region?: string;
            registry?: string;
            /** Format: int64 */
            starts: number;
            /**
             * Format: double
             * @description Spent on unpacking it, in all starts
             */
            unpack_ms: number;
        };
        ImageList: {
            /** @description Those first on which most time was spent */
            images: components["schemas"]["Image"][];
            /** @description There are more images than this */
            truncated?: boolean;
        };
        Instance: {
            /** Format: double */
            cpu_time_ms?: number;
            /** Format: date-time */
            demanded_at?: string;
            digest?: string;
            /**
             * Format: int64
             * @description Of those, how many ended as error, timeout or oom
             */
            errors: number;
            /** Format: int32 */
            exit_code?: number;
            function: string;
            host?: string;
            image?: string;
            /** @enum {string} */
            initialization?: "on-demand" | "provisioned";
            instance: string;
            /**
             * Format: date-time
             * @description When the last thing known of a request of it happened
             */
            last_active_at?: string;
            /**
             * Format: int32
             * @description 0, unless the instance had stopped and was started again under its name
             */
            life?: number;
            /**
             * Format: int64
             * @description Bytes
             */
            memory_limit?: number;
            /**
             * Format: int64
             * @description Bytes
             */
            memory_peak?: number;
            namespace: string;
            /** @description It was killed for its memory */
            oom?: boolean;
            /**
             * Format: int64
             * @description Of those, how many have not ended
             */
            open: number;
            /** Format: date-time */
            ready_at?: string;
            /** @description The request that demanded it */
            request_id?: string;
            /**
             * Format: int64
             * @description That it handled, in all its lives
             */
            requests: number;
            /**
             * Format: double
             * @description From the demand to readiness
             */
            start_ms?: number;
            /**
             * @description failed: it ended before it was ready
             * @enum {string}
             */
            state: "starting" | "ready" | "stopped" | "failed";
            stop_reason?: string;
            /** Format: date-time */
            stopped_at?: string;
            version: string;
        };
        InstanceList: {
            instances: components["schemas"]["Instance"][];
            /** @description Pass as cursor to read on; absent at the end */
            next_cursor?: string;
        };
        Invocation: {
            /** Format: int64 */
            bytes_in?: number;
            /** Format: int64 */
            bytes_out?: number;
            /**
             * @description Nobody has told how it ended: status, error and ended_at are those of its instance's end, which was this
             * @enum {string}
             */
            closed_by?: "oom" | "timeout" | "crash" | "stop";
            /** @description Whether the request waited for its instance's start */
            cold: boolean;
            /**
             * Format: double
             * @description How long it waited for that start
             */
            cold_wait_ms?: number;
            /** Format: double */
            cpu_time_ms?: number;
            /**
             * Format: double
             * @description Time in the handler
             */
            duration_ms?: number;
            /** Format: date-time */
            ended_at?: string;
            error?: string;
            function: string;
            /** @description Host of the instance; on the request's page only */
            host?: string;
            /** Format: int64 */
            http_status?: number;
            /** @description The instance that handled it */
            instance: string;
            /**
             * Format: date-time
             * @description Of status unknown only: when it printed its last line so far
             */
            last_line_at?: string;
            /**
             * Format: int64
             * @description Bytes
             */
            memory_peak?: number;
            namespace: string;
            /**
             * Format: date-time
             * @description When the platform took the request in
             */
            queued_at?: string;
            /** @description Name of the request */
            request_id: string;
            /**
             * Format: date-time
             * @description When the instance was given the request; of status unknown: when it printed its first line
             */
            started_at: string;
            /**
             * @description How it ended; running until that is known; unknown if nobody has told of the request, and only its lines name it: on the request's page only
             * @enum {string}
             */
            status: "ok" | "error" | "timeout" | "oom" | "cancelled" | "running" | "unknown";
            /**
             * Format: double
             * @description From queued_at (else started_at) to ended_at
             */
            total_ms?: number;
            /** @description What caused it: http, event, timer or other */
            trigger?: string;
            /** @description memory_peak or cpu_time_ms is that of the whole instance while others ran on it, too: an estimate */
            usage_shared?: boolean;
            /** @description Version, alias or revision of the function; empty if not known */
            version: string;
        };
        InvocationList: {
            /** @description Pass as cursor to read on; absent at the end */
            next_cursor?: string;
            /** @description Newest first */
            requests: components["schemas"]["Invocation"][];
        };
        Layer: {
            /**
             * Format: int64
             * @description Compressed
             */
            bytes: number;
            /** @description hit, miss or lazy */
            cache?: string;
            digest: string;
            /** Format: date-time */
            download_end?: string;
            /** Format: date-time */
            download_start?: string;
            /** Format: date-time */
            unpack_end?: string;
            /** Format: date-time */
            unpack_start?: string;
        };
        LayerFigures: {
            /**
             * Format: int64
             * @description Compressed
             */
            bytes: number;
            /**
             * Format: int64
             * @description Of those, how many had it on the host already
             */
            cache_hits: number;
            digest: string;
            /**
             * Format: double
             * @description Spent in all starts
             */
            download_ms: number;
            /** Format: int64 */
            functions: number;
            /**
             * Format: int64
             * @description Of those, how many loaded it on demand
             */
            lazy: number;
            /**
             * Format: int64
             * @description Of those, how many had to pull it
             */
            pulls: number;
            /**
             * Format: int64
             * @description Instances whose start needed it
             */
            starts: number;
            /**
             * Format: double
             * @description Spent in all starts
             */
            unpack_ms: number;
        };
        LayerList: {
            /** @description Those first on which most time was spent */
            layers: components["schemas"]["LayerFigures"][];
            /** @description There are more layers than this */
            truncated?: boolean;
        };
        Line: {
            /**
             * @description The evidence by which the line got its request
             * @enum {string}
             */
            attribution: "explicit" | "window" | "init" | "late" | "ambiguous" | "none";
            body: string;
            /** @description The requests that an ambiguous line may belong to */
            candidates?: string[];
            /** @description The log file's generation, 16 hex digits */
            file_id: string;
            /**
             * Format: int64
             * @description Of the line's first byte in that file
             */
            offset: number;
            request_id?: string;
            /** @enum {string} */
            stream: "stdout" | "stderr" | "platform";
            /**
             * Format: int64
             * @description Bytes cut from the end of body
             */
            truncated?: number;
            /** Format: date-time */
            ts: string;
        };
        LineContext: {
            /** @description In the order of time, the nearest first */
            after: components["schemas"]["FoundLine"][];
            /** @description In the order of time, the nearest last */
            before: components["schemas"]["FoundLine"][];
            line: components["schemas"]["FoundLine"];
        };
        LineCount: {
            /**
             * Format: int64
             * @description Of the lines' bodies
             */
            bytes: number;
            /** @description What the lines have in common */
            group?: string;
            /** Format: int64 */
            lines: number;
            /**
             * Format: date-time
             * @description When the step begins
             */
            time: string;
        };
        LineList: {
            /** @description In the order that was asked for */
            lines: components["schemas"]["FoundLine"][];
            /** @description Pass as cursor to read on; absent at the end */
            next_cursor?: string;
        };
        Page: {
            /** @description What saves most comes first */
            advice: components["schemas"]["Advice"][];
            /** @description Earlier attempts, newest first */
            attempts?: components["schemas"]["Invocation"][];
            /** @description The start that the request waited for; null if it waited for none */
            cold_start: components["schemas"]["ColdStart"] | null;
            /** @description Whether all that was printed for the request is here */
            completeness: components["schemas"]["Completeness"];
            /** @description The newest attempt */
            invocation: components["schemas"]["Invocation"];
            /** @description In order of time; those that are not known to be the request's are marked by their attribution */
            lines: components["schemas"]["Line"][];
            /** @description There are more lines than this page holds */
            lines_truncated?: boolean;
            /** @description What else its instance handled: up to five requests before and five after it, within an hour, in the order of time */
            neighbours: components["schemas"]["Invocation"][];
        };
        Phase: {
            attributes?: {
                [key: string]: string;
            };
            /**
             * Format: double
             * @description Its share of the critical path: what the start waited for it
             */
            critical_ms: number;
            /** Format: double */
            duration_ms: number;
            /** Format: date-time */
            end: string;
            error?: string;
            /** @enum {string} */
            name: "queue" | "schedule" | "credentials" | "resolve" | "pull" | "unpack" | "create" | "start" | "init";
            /** Format: date-time */
            start: string;
        };
        PhaseStats: {
            /** Format: int64 */
            count: number;
            /** Format: double */
            max_ms: number;
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p90_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
            /** @description A phase, or other for what no phase explains */
            phase: string;
            /**
             * Format: double
             * @description Of the critical paths of all starts together, 0 to 1; all shares and that of other add up to 1
             */
            share: number;
        };
        Segment: {
            /** Format: date-time */
            end: string;
            /** @description A phase, or other */
            name: string;
            /** Format: date-time */
            start: string;
        };
        StartComparison: {
            /** @description The total first, then in the order of a start */
            phases: components["schemas"]["ComparedPhase"][];
        };
        StartDistribution: {
            buckets: components["schemas"]["Bucket"][];
            /** Format: int64 */
            count: number;
            /** @description What the starts have in common; empty if they were not asked for by anything, or if it is not known */
            group: string;
            /** Format: double */
            max_ms: number;
            /** Format: double */
            mean_ms: number;
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p90_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
            /** @description A phase, for as long as it was active in its start, or total from the demand to readiness */
            phase: string;
        };
        StartDistributionList: {
            /** @description In the order of the groups and phases */
            distributions: components["schemas"]["StartDistribution"][];
            /** @description There are more groups than this */
            truncated?: boolean;
        };
        StartHistory: {
            /** Format: int64 */
            count: number;
            /** Format: double */
            max_ms: number;
            /** Format: double */
            mean_ms: number;
            /** Format: double */
            p50_ms: number;
            /** Format: double */
            p90_ms: number;
            /** Format: double */
            p95_ms: number;
            /** Format: double */
            p99_ms: number;
            /** @description A phase, or total for the whole from the demand to readiness */
            phase: string;
            /**
             * Format: date-time
             * @description When the step begins
             */
            time: string;
        };
        StoppedInstance: {
            /** Format: int32 */
            exit_code?: number;
            /**
             * Format: double
             * @description From its end to the demand for the next
             */
            gap_ms: number;
            instance: string;
            /**
             * Format: double
             * @description From its last request's end to its own
             */
            kept_alive_ms?: number;
            /**
             * Format: date-time
             * @description As far as the hour before the start goes
             */
            last_request_ended_at?: string;
            oom?: boolean;
            reason?: string;
            /** Format: date-time */
            stopped_at: string;
        };
        TailedLine: {
            /** @description What the line says in fields, its time, level, message and request aside */
            attributes?: {
                [key: string]: string;
            };
            /**
             * @description The evidence by which the line got its request
             * @enum {string}
             */
            attribution: "explicit" | "window" | "init" | "late" | "ambiguous" | "none";
            body: string;
            /** @description The requests that an ambiguous line may belong to */
            candidates?: string[];
            /** @description The line was sent before; since then it was found out whose it is */
            corrected?: boolean;
            /** @description The log file's generation, 16 hex digits */
            file_id: string;
            function: string;
            host?: string;
            instance: string;
            /**
             * @description What the line says of itself; unknown if it says nothing
             * @enum {string}
             */
            level: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown";
            namespace: string;
            /**
             * Format: int64
             * @description Of the line's first byte in that file
             */
            offset: number;
            request_id?: string;
            span_id?: string;
            /** @enum {string} */
            stream: "stdout" | "stderr" | "platform";
            trace_id?: string;
            /**
             * Format: int64
             * @description Bytes cut from the end of body
             */
            truncated?: number;
            /** Format: date-time */
            ts: string;
            version: string;
        };
        TailSkipped: {
            /**
             * Format: int64
             * @description How many lines were left out; absent if that is not known
             */
            lines?: number;
        };
        Volume: {
            /**
             * Format: int64
             * @description Of the lines' bodies
             */
            bytes: number;
            /** Format: int64 */
            lines: number;
            /**
             * Format: int32
             * @description Lowest number of OpenTelemetry's range: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal; 0 for not said
             */
            severity: number;
            /** @enum {string} */
            stream: "stdout" | "stderr" | "platform";
            /**
             * Format: date-time
             * @description When the step begins
             */
            time: string;
        };
        Waiting: {
            /** Format: int64 */
            count: number;
            /** @description The first 20 of them, in the order in which they came */
            request_ids: string[];
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    "get-cold-starts": {
        parameters: {
            query?: {
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                /** @description How many starts each of the lists slowest and recent holds */
                limit?: number;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ColdStartStats"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "compare-cold-starts": {
        parameters: {
            query?: {
                a_digest?: string;
                a_host?: string;
                a_since?: string;
                a_until?: string;
                /** @description Of selection a, where it is another one than version says; the same goes for all others that begin so */
                a_version?: string;
                b_digest?: string;
                b_host?: string;
                b_since?: string;
                b_until?: string;
                b_version?: string;
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartComparison"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-cold-start-distributions": {
        parameters: {
            query?: {
                /** @description What starts of one group have in common; absent: all starts are one. Each group has its total and its phases */
                by?: "function" | "version" | "digest" | "host" | "initialization" | "registry" | "region" | "hour";
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartDistributionList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-cold-start-history": {
        parameters: {
            query?: {
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Length of the steps: a duration of whole minutes */
                step?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StartHistory"][] | null;
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "export-cold-starts": {
        parameters: {
            query?: {
                /** @description Only starts of this image */
                digest?: string;
                format?: "ndjson" | "csv" | "parquet";
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                namespace?: string;
                /** @description At most so many rows; 0: all of them */
                rows?: number;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/vnd.apache.parquet": string;
                    "application/x-ndjson": string;
                    "text/csv": string;
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "export-lines": {
        parameters: {
            query?: {
                /** @description By which evidence the line got its request; separated by commas */
                attribution?: ("explicit" | "window" | "init" | "late" | "ambiguous" | "none")[] | null;
                /** @description A condition on a field of the line: key=value, key!=value, key~regex, key!~regex, key>number, key>=number, key<number, key<=number, or a key that is there */
                field?: string[] | null;
                format?: "ndjson" | "csv" | "parquet";
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                /** @description Upper and lower case are the same in q and not */
                ignore_case?: boolean;
                instance?: string;
                /** @description Separated by commas */
                level?: ("trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown")[] | null;
                namespace?: string;
                /** @description Text that the line does not contain */
                not?: string[] | null;
                /** @description Text that the line contains; several times for several texts, all of which it contains */
                q?: string[] | null;
                /** @description A regular expression (RE2 syntax) that a part of the line matches; (?i) at its beginning ignores case */
                regex?: string;
                /** @description Only lines of this request */
                request?: string;
                /** @description At most so many rows; 0: all of them */
                rows?: number;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Separated by commas */
                stream?: ("stdout" | "stderr" | "platform")[] | null;
                /** @description Only lines that name this trace */
                trace?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/vnd.apache.parquet": string;
                    "application/x-ndjson": string;
                    "text/csv": string;
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "export-requests": {
        parameters: {
            query?: {
                /** @description Nobody told how it ended, and its instance ended like this; separated by commas */
                closed_by?: ("oom" | "timeout" | "crash" | "stop")[] | null;
                /** @description Only requests that waited for a start, or only those that did not */
                cold?: "true" | "false";
                /** @description Of its instance's image */
                digest?: string;
                /** @description A part of what is said of its failure, in upper or lower case */
                error?: string;
                format?: "ndjson" | "csv" | "parquet";
                /** @description The function's name without its namespace */
                function?: string;
                /** @description Where its instance was */
                host?: string;
                http_status?: number;
                /** @description Upper and lower case are the same in q */
                ignore_case?: boolean;
                /** @description How its instance was started */
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                /** @description It took at most so long in the handler */
                max_duration?: string;
                /** @description It took at least so long in the handler */
                min_duration?: string;
                namespace?: string;
                /** @description Text that one of its lines contains; several times for several texts, each in any of its lines */
                q?: string[] | null;
                /** @description What the request's ID begins with */
                request?: string;
                /** @description At most so many rows; 0: all of them */
                rows?: number;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description How it ended; separated by commas */
                status?: ("ok" | "error" | "timeout" | "oom" | "cancelled" | "running")[] | null;
                trigger?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/vnd.apache.parquet": string;
                    "application/x-ndjson": string;
                    "text/csv": string;
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-functions": {
        parameters: {
            query?: {
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FunctionList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-function-versions": {
        parameters: {
            query: {
                /** @description The function's name without its namespace */
                function: string;
                /** @description The function's namespace; empty is one, too */
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FunctionVersionList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-images": {
        parameters: {
            query?: {
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImageList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-instances": {
        parameters: {
            query?: {
                /** @description Where to read on: next_cursor of the answer before, with the same filters and sort */
                cursor?: string;
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                limit?: number;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description time: the newest first; start: those first that took longest to start */
                sort?: "time" | "start";
                /** @description Separated by commas */
                state?: ("starting" | "ready" | "stopped" | "failed")[] | null;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InstanceList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-layers": {
        parameters: {
            query?: {
                /** @description Only starts of this image */
                digest?: string;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LayerList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "search-lines": {
        parameters: {
            query?: {
                /** @description By which evidence the line got its request; separated by commas */
                attribution?: ("explicit" | "window" | "init" | "late" | "ambiguous" | "none")[] | null;
                /** @description Where to read on: next_cursor of the answer before, with the same filters and order */
                cursor?: string;
                /** @description A condition on a field of the line: key=value, key!=value, key~regex, key!~regex, key>number, key>=number, key<number, key<=number, or a key that is there */
                field?: string[] | null;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                /** @description Upper and lower case are the same in q and not */
                ignore_case?: boolean;
                instance?: string;
                /** @description Separated by commas */
                level?: ("trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown")[] | null;
                /** @description An answer has fewer lines, and a cursor, where their bodies are more than 16 MiB */
                limit?: number;
                namespace?: string;
                /** @description Text that the line does not contain */
                not?: string[] | null;
                /** @description Which lines come first */
                order?: "newest" | "oldest";
                /** @description Text that the line contains; several times for several texts, all of which it contains */
                q?: string[] | null;
                /** @description A regular expression (RE2 syntax) that a part of the line matches; (?i) at its beginning ignores case */
                regex?: string;
                /** @description Only lines of this request */
                request?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Separated by commas */
                stream?: ("stdout" | "stderr" | "platform")[] | null;
                /** @description Only lines that name this trace */
                trace?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LineList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-line-context": {
        parameters: {
            query?: {
                after?: number;
                before?: number;
                /** @description The line's function: finds it sooner */
                function?: string;
                namespace?: string;
                /** @description Whose lines are around it */
                of?: "instance" | "function";
                /** @description The line's ts: finds it at once; without it, all lines since a week ago are looked through */
                ts?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path: {
                /** @description The line's file_id */
                file_id: string;
                /** @description The line's offset */
                offset: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LineContext"];
                };
            };
            /** @description Not Found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-line-histogram": {
        parameters: {
            query?: {
                /** @description By which evidence the line got its request; separated by commas */
                attribution?: ("explicit" | "window" | "init" | "late" | "ambiguous" | "none")[] | null;
                /** @description Counts are given for each of these; absent: for all lines together */
                by?: "level" | "stream" | "function" | "version" | "instance" | "host" | "attribution";
                /** @description A condition on a field of the line: key=value, key!=value, key~regex, key!~regex, key>number, key>=number, key<number, key<=number, or a key that is there */
                field?: string[] | null;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                /** @description Upper and lower case are the same in q and not */
                ignore_case?: boolean;
                instance?: string;
                /** @description Separated by commas */
                level?: ("trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown")[] | null;
                namespace?: string;
                /** @description Text that the line does not contain */
                not?: string[] | null;
                /** @description Text that the line contains; several times for several texts, all of which it contains */
                q?: string[] | null;
                /** @description A regular expression (RE2 syntax) that a part of the line matches; (?i) at its beginning ignores case */
                regex?: string;
                /** @description Only lines of this request */
                request?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Length of the steps: a duration of at least 1ms. Default: about a hundredth of the range, at least 1s; of whole minutes where the range is longer than an hour */
                step?: string;
                /** @description Separated by commas */
                stream?: ("stdout" | "stderr" | "platform")[] | null;
                /** @description Only lines that name this trace */
                trace?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Histogram"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "tail-lines": {
        parameters: {
            query?: {
                /** @description By which evidence the line got its request; separated by commas */
                attribution?: ("explicit" | "window" | "init" | "late" | "ambiguous" | "none")[] | null;
                /** @description A condition on a field of the line: key=value, key!=value, key~regex, key!~regex, key>number, key>=number, key<number, key<=number, or a key that is there */
                field?: string[] | null;
                /** @description The function's name without its namespace */
                function?: string;
                host?: string;
                /** @description Upper and lower case are the same in q and not */
                ignore_case?: boolean;
                instance?: string;
                /** @description Separated by commas */
                level?: ("trace" | "debug" | "info" | "warn" | "error" | "fatal" | "unknown")[] | null;
                /** @description How many of the newest lines that are there already come first */
                lines?: number;
                namespace?: string;
                /** @description Text that the line does not contain */
                not?: string[] | null;
                /** @description Text that the line contains; several times for several texts, all of which it contains */
                q?: string[] | null;
                /** @description A regular expression (RE2 syntax) that a part of the line matches; (?i) at its beginning ignores case */
                regex?: string;
                /** @description Only lines of this request */
                request?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Separated by commas */
                stream?: ("stdout" | "stderr" | "platform")[] | null;
                /** @description Only lines that name this trace */
                trace?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The id of the last event that came, to go on behind it */
                "Last-Event-ID"?: string;
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": ({
                        data: components["schemas"]["TailedLine"];
                        /** @enum {string} */
                        event: "line";
                        /** @description For Last-Event-ID */
                        id?: string;
                    } | {
                        data: components["schemas"]["TailSkipped"];
                        /** @enum {string} */
                        event: "skipped";
                        /** @description For Last-Event-ID */
                        id?: string;
                    } | {
                        data: components["schemas"]["ErrorModel"];
                        /** @enum {string} */
                        event: "problem";
                        /** @description For Last-Event-ID */
                        id?: string;
                    })[];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Too Many Requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "list-requests": {
        parameters: {
            query?: {
                /** @description Nobody told how it ended, and its instance ended like this; separated by commas */
                closed_by?: ("oom" | "timeout" | "crash" | "stop")[] | null;
                /** @description Only requests that waited for a start, or only those that did not */
                cold?: "true" | "false";
                /** @description Where to read on: next_cursor of the answer before, with the same filters, sort and order */
                cursor?: string;
                /** @description Of its instance's image */
                digest?: string;
                /** @description A part of what is said of its failure, in upper or lower case */
                error?: string;
                /** @description The function's name without its namespace */
                function?: string;
                /** @description Where its instance was */
                host?: string;
                http_status?: number;
                /** @description Upper and lower case are the same in q */
                ignore_case?: boolean;
                /** @description How its instance was started */
                initialization?: "on-demand" | "provisioned";
                instance?: string;
                limit?: number;
                /** @description It took at most so long in the handler */
                max_duration?: string;
                /** @description It took at least so long in the handler */
                min_duration?: string;
                namespace?: string;
                /** @description desc: the newest or the longest come first */
                order?: "desc" | "asc";
                /** @description Text that one of its lines contains; several times for several texts, each in any of its lines */
                q?: string[] | null;
                /** @description What the request's ID begins with */
                request?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description time: of its start at the instance; duration: in the handler; init: how long it waited for its instance's start. Requests without one come last */
                sort?: "time" | "duration" | "init";
                /** @description How it ended; separated by commas */
                status?: ("ok" | "error" | "timeout" | "oom" | "cancelled" | "running")[] | null;
                trigger?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InvocationList"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-request": {
        parameters: {
            query?: {
                /** @description Look in this function only: its name without its namespace. Saves time where many functions have lines */
                function?: string;
                /** @description Look in this namespace only */
                namespace?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path: {
                /** @description The request's ID */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Page"];
                };
            };
            /** @description Not Found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
    "get-volume": {
        parameters: {
            query?: {
                /** @description The function's name without its namespace */
                function?: string;
                namespace?: string;
                /** @description Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit */
                since?: string;
                /** @description Length of the steps: a duration of whole minutes */
                step?: string;
                /** @description End of the time range (exclusive), written as since is. Default: no limit */
                until?: string;
                version?: string;
            };
            header?: {
                /** @description The tenant; default if absent */
                "X-Scope-OrgID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OK */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Volume"][] | null;
                };
            };
            /** @description Unprocessable Entity */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Internal Server Error */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
            /** @description Service Unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["ErrorModel"];
                };
            };
        };
    };
}
