"""What pyproject.toml cannot say: the parts in C, built where a compiler is and else left out quietly."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "pipeline.telemetry._fast",
            ["pipeline/telemetry/_fast.c"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
        Extension(
            "pipeline.telemetry._look",
            ["pipeline/telemetry/_look.c"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
        Extension(
            "pipeline.backtest._rows",
            ["pipeline/backtest/_rows.c"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
        Extension(
            "pipeline.stages.gateway._candle",
            ["pipeline/stages/gateway/_candle.c"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
        Extension(
            "pipeline.stages.gateway._request",
            ["pipeline/stages/gateway/_request.c"],
            extra_compile_args=["-O3"],
            optional=True,
        ),
    ]
)
