package scf

import "fmt"

// Error is an error as the API tells it.
type Error struct {
	Code    string `json:"Code"`
	Message string `json:"Message"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

func fault(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// The codes that all of Tencent's APIs have in common.
const (
	authInvalidAuthorization  = "AuthFailure.InvalidAuthorization"
	authSecretIDNotFound      = "AuthFailure.SecretIdNotFound"
	authSignatureExpire       = "AuthFailure.SignatureExpire"
	authSignatureFailure      = "AuthFailure.SignatureFailure"
	authTokenFailure          = "AuthFailure.TokenFailure"
	invalidAction             = "InvalidAction"
	invalidParameter          = "InvalidParameter"
	invalidParameterValue     = "InvalidParameterValue"
	missingParameter          = "MissingParameter"
	noSuchVersion             = "NoSuchVersion"
	requestLimitExceeded      = "RequestLimitExceeded"
	requestSizeLimitExceeded  = "RequestSizeLimitExceeded"
	responseSizeLimitExceeded = "ResponseSizeLimitExceeded"
	unknownParameter          = "UnknownParameter"
)

// The codes of these actions.
const (
	failedOperationQueryError = "FailedOperation.QueryError"
	internalErrorSystem       = "InternalError.System"
	invalidDateTime           = "InvalidParameterValue.DateTime"
	invalidFunctionName       = "InvalidParameterValue.FunctionName"
	invalidFunctionRequestID  = "InvalidParameterValue.FunctionRequestId"
	invalidLimit              = "InvalidParameterValue.Limit"
	invalidOffset             = "InvalidParameterValue.Offset"
	invalidOrder              = "InvalidParameterValue.Order"
	invalidOrderBy            = "InvalidParameterValue.OrderBy"
	invalidRetCode            = "InvalidParameterValue.RetCode"
	invalidStartOrEndTime     = "InvalidParameterValue.StartTimeOrEndTime"
	limitExceededOffset       = "LimitExceeded.Offset"
	notFoundFunction          = "ResourceNotFound.Function"
)
